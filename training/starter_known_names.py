"""Note which names the starter's text tower has learnt, and how well.

    python training/starter_known_names.py

For every single-word noun of WordNet that can be photographed, and every name of the hand-written
table, the cosine between the text tower's vector and the teacher's is written, in tenths, to
``known_names.txt.xz`` beside the weights. `napari_wildseg.engine.names.familiarity` reads it. Needs
what `starter_text_tower.py` needs.
"""

from __future__ import annotations

import lzma

import torch
from starter_corpus import ADJECTIVES, plural, table_names
from starter_teacher import STUFF, THINGS, Teacher

from napari_wildseg.engine.models import starter

FILE = starter.STARTER_FILES / "known_names.txt.xz"


def gather(teacher: Teacher) -> list[str]:
    """Names to measure, sorted."""
    names = {name.lower() for name in table_names()}
    for synset in teacher.wn.synsets.values():
        if synset.lexfile in THINGS + STUFF:
            names.update(n for n in synset.lemmas if n.isascii() and n.islower() and n.isalpha())
    # Its plural stands in the dictionary for itself ("glasses"); regular ones need no entry.
    return sorted(
        n for n in names if not (n.endswith("s") and plural(n[:-1]) == n and n[:-1] in names)
    )


def main() -> None:
    """Measure and write."""
    torch.set_num_threads(1)
    teacher = Teacher()
    names = gather(teacher)
    print(len(names), "names", flush=True)
    teacher.prepare(names)
    print("embedded", flush=True)
    student = starter.load_starter().encode_list(names)
    lines = []
    for name, row in zip(names, student, strict=True):
        vector, _ = teacher(name)
        lines.append(f"{name}\t{max(0, min(9, int(float(row @ vector) * 10)))}")
    lines += [f"{word}\t+" for word in ADJECTIVES]
    FILE.write_bytes(lzma.compress("\n".join(lines).encode(), preset=9))
    print(FILE.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
