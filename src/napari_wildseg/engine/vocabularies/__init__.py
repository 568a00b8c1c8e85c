"""Name lists to choose class names from: bundled ones, and the annotator's own files.

========== ===== ============================================ =========================
name       names source                                       licence of the list
========== ===== ============================================ =========================
voc        20    PASCAL VOC (Everingham et al., IJCV 2010)    plain facts, free to use
coco       80    COCO (Lin et al., ECCV 2014)                 CC BY 4.0
ade20k     150   ADE20K scene parsing (Zhou et al., CVPR 2017) BSD-3-Clause
imagenet   1000  ImageNet-1k, first WordNet lemma of a class  WordNet 3.0 licence
========== ===== ============================================ =========================

Only names are shipped, no image and no annotation. Names are lower case unless they are proper
names, and no list holds a name twice.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from napari_wildseg.engine.errors import InputError

BUNDLED = ("voc", "coco", "ade20k", "imagenet")
_HEADERS = {"name", "names", "class", "class_name", "label", "labels"}


def load_vocabulary(name_or_path: str | Path) -> tuple[str, ...]:
    """Read a list of class names.

    Parameters
    ----------
    name_or_path : str or pathlib.Path
        One of `BUNDLED`, or a text file (one name a line, ``#`` starts a comment line) or a CSV
        file (the column headed "name", "class" or "label", else the first column).

    Returns
    -------
    tuple of str
        The names in the order of the list, each once.

    Raises
    ------
    InputError
        If there is no such list or file, or it holds no names.

    Examples
    --------
    >>> load_vocabulary("voc")[:3]
    ('aeroplane', 'bicycle', 'bird')
    """
    key = str(name_or_path).strip()
    if key.lower() in BUNDLED:
        return _bundled(key.lower())
    path = Path(key).expanduser()
    if not path.is_file():
        raise InputError(
            f'There is no vocabulary "{key}": use one of {", ".join(BUNDLED)}, '
            "or the path of a text or CSV file of names."
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{path.name} cannot be read as UTF-8 text: save it as such.") from None
    names = _parse_csv(text) if path.suffix.lower() == ".csv" else _parse_lines(text)
    if not names:
        raise InputError(f"{path.name} holds no names: write one name a line.")
    return names


@lru_cache(maxsize=len(BUNDLED))
def _bundled(name: str) -> tuple[str, ...]:
    return _parse_lines(Path(__file__).with_name(f"{name}.txt").read_text(encoding="utf-8"))


def _parse_lines(text: str) -> tuple[str, ...]:
    """One name a line; blank lines and comment lines are skipped."""
    return _tidy(line for line in text.splitlines() if not line.lstrip().startswith("#"))


def _parse_csv(text: str) -> tuple[str, ...]:
    """The named column if the first row is a header, else the first column."""
    rows = [row for row in csv.reader(text.splitlines()) if any(cell.strip() for cell in row)]
    if not rows:
        return ()
    header = [cell.strip().lower() for cell in rows[0]]
    column = next((i for i, cell in enumerate(header) if cell in _HEADERS), None)
    if column is None:
        return _tidy(row[0] for row in rows)
    return _tidy(row[column] for row in rows[1:] if len(row) > column)


def _tidy(names: Iterable[str]) -> tuple[str, ...]:
    """Collapse white space, drop blanks and repeats."""
    clean = (" ".join(name.split()) for name in names)
    return tuple(dict.fromkeys(name for name in clean if name))
