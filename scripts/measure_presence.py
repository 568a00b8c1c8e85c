"""How often names that are not in an image are left out, and names that are in it by mistake.

``python scripts/measure_presence.py DIR [--wrong-from DIR]``: DIR is an evaluation set. Each image
is asked about its own names (1 % of the mask at least) and about all names of the other set that
are none of its own and mean nothing alike; then it is segmented with its own names, and with three
wrong ones beside them, with and without the judgement.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import ClassInfo, class_colour
from napari_wildseg.engine.maps.presence import Presence, PresenceTest
from napari_wildseg.engine.names.tagging import everyday_rivals
from napari_wildseg.engine.names.tagging.scores import mean_cosine, similarity
from napari_wildseg.engine.names.vocabularies import load_vocabulary
from napari_wildseg.engine.segmenter import Segmenter
from napari_wildseg.evaluation.evaluation_set import EvaluationItem, EvaluationSet
from napari_wildseg.evaluation.metrics import mean_iou

ALIKE = 0.45
"""Text similarity from which a name may mean something that is there."""

WRONG = 3


def classes_of(names: Sequence[str]) -> tuple[ClassInfo, ...]:
    """Classes with ids from 1."""
    return tuple(
        ClassInfo(i, name, (name,), class_colour(i)) for i, name in enumerate(names, start=1)
    )


def wrong_names(segmenter: Segmenter, there: Sequence[str], pool: Sequence[str]) -> list[str]:
    """Names of a pool that are not there, nor alike to one that is."""
    model = segmenter.model
    usual = mean_cosine(model.encode_text(load_vocabulary("coco")))
    alike = similarity(model.encode_text(pool), model.encode_text(there), usual).amax(1)
    return [
        name
        for name, value in zip(pool, alike.tolist(), strict=True)
        if value < ALIKE and name not in there
    ]


class Without(PresenceTest):
    """Judges nothing."""

    def __call__(self, classes: Sequence[ClassInfo], text: Any) -> Presence:
        """Judge nothing."""
        return Presence.unknown(len(classes))


def main() -> None:
    """Measure a set and print a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set")
    parser.add_argument("--wrong-from", help="set whose names are the wrong ones (default: itself)")
    parser.add_argument("--limit", type=int)
    args = parser.parse_args()
    data = EvaluationSet.open(args.set)
    pool = EvaluationSet.open(args.wrong_from or args.set).vocabulary
    rng = np.random.default_rng(1)
    segmenter = Segmenter()
    found: dict[str, list[float]] = defaultdict(list)
    for item in data.items[: args.limit]:
        _measure(segmenter, item, pool, rng, found)
    print({name: round(float(np.mean(values)), 3) for name, values in found.items()})


def _measure(
    segmenter: Segmenter,
    item: EvaluationItem,
    pool: Sequence[str],
    rng: np.random.Generator,
    found: dict[str, list[float]],
) -> None:
    truth = item.mask()
    known = item.known(truth)
    if not known:
        return
    there = [item.names[int(v)] for v in np.unique(truth) if v in item.names]
    names = [info.name for info in known]
    wrong = wrong_names(segmenter, there, pool)
    segmenter.set_image(item.image())
    values = np.zeros(256, np.uint8)
    values[255] = 255
    values[[info.id for info in known]] = np.arange(1, len(known) + 1)
    mask: NDArray[np.uint8] = values[truth]
    out = segmenter.segment([*names, *wrong], refine=False)
    absent = segmenter._require_state().presence.absent.tolist()
    assert len(out.classes) == len(absent)
    found["there, left out"] += absent[: len(names)]
    found["not there, left out"] += absent[len(names) :]
    beside = [str(name) for name in rng.choice(wrong, WRONG, replace=False)]
    rivals = everyday_rivals(segmenter.background)
    encoding = segmenter._require_image()[1]
    for how, test in (("before", Without), ("now", PresenceTest)):
        segmenter._presence = test(encoding, segmenter.model, rivals)
        ids = range(1, len(names) + 1)
        labels = segmenter.segment(classes_of(names)).labels
        found[f"right names, {how}"].append(mean_iou(mask, labels, ids))
        labels = segmenter.segment(classes_of([*names, *beside])).labels
        found[f"{WRONG} wrong beside, {how}"].append(mean_iou(mask, labels, ids))
        found[f"wrong area, {how}"].append(float((labels > len(names)).mean()))


if __name__ == "__main__":
    main()
