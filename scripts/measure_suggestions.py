"""Choose the settings of suggested names by cross-validation over several evaluation sets.

``python scripts/measure_suggestions.py SET... --keep FOLDER``: every image is segmented with its
known names and with the one to eight best suggested names, which takes half a minute for ten
images; FOLDER keeps that, so that a second run takes a minute. Then the usual length of a
vocabulary (`prior_odds`) and the score from which a name is said to be in the image
are chosen on four fifths of the images and measured on the rest, ten times.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import ClassInfo, class_colour
from napari_wildseg.engine.maps import thresholds
from napari_wildseg.engine.maps.thresholds import PRESENT_SCORE, prior_odds, scale_odds
from napari_wildseg.engine.segmenter import Segmenter
from napari_wildseg.evaluation.evaluation_set import EvaluationItem, EvaluationSet

MOST = 8
LEAST = 0.12
"""Share below which no further name is tried."""
LENGTHS = np.exp(np.arange(1.5, 5.3, 0.15))
PRECISION = 0.8


@dataclass
class Case:
    """One image: its suggested names with their shares, and confusions by number of names."""

    group: str
    length: int
    present: list[str]
    found: list[tuple[str, float]]
    counts: dict[int, NDArray[np.float64]]  # number of names (0: the known ones) -> (256, 256)

    def names(self, usual: float, cut: float) -> list[str]:
        """The names at or above a cut, for a usual length of vocabularies."""
        odds = prior_odds(self.length) * usual / thresholds._USUAL_LENGTH
        return [name for name, share in self.found if scale_odds(share, odds) >= cut]

    def chosen(self, usual: float) -> int:
        """How many of the names are segmented."""
        return min(max(1, len(self.names(usual, PRESENT_SCORE))), max(self.counts))


def confusion(truth: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.int64]:
    counted = truth != 255
    pairs = truth[counted].astype(np.int64) * 256 + labels[counted]
    return np.bincount(pairs, minlength=65536).reshape(256, 256)


def measure(segmenter: Segmenter, data: EvaluationSet, item: EvaluationItem) -> dict | None:
    """Segment an image with its known names and with the best suggested ones."""
    mask = item.mask()
    known = item.known(mask)
    if not known:
        return None
    segmenter.set_image(item.image())
    length = len(data.vocabulary)
    shares = segmenter.name_shares(data.vocabulary)[: MOST + 4]
    values = {name: value for value, name in item.names.items()}
    truth = item.asked(mask, known)
    lists = [known]
    for number in range(1, min(MOST, len(shares)) + 1):
        if number > 1 and shares[number - 1][1] < LEAST:
            break
        names = [(values[name], name) for name, _ in shares[:number]]
        lists.append(tuple(ClassInfo(v, n, (n,), class_colour(v)) for v, n in names))
    counts = {}
    for number, classes in enumerate(lists):
        table = confusion(truth, segmenter.segment(classes).labels)
        rows, columns = np.nonzero(table)
        counts[number] = [rows.tolist(), columns.tolist(), table[rows, columns].tolist()]
    present = [item.names[int(v)] for v in np.unique(mask) if v in item.names]
    return {"length": length, "present": present, "found": shares, "counts": counts}


def read_case(group: str, kept: dict) -> Case:
    counts = {}
    for number, (rows, columns, values) in kept["counts"].items():
        counts[int(number)] = np.zeros((256, 256))
        counts[int(number)][rows, columns] = values
    found = [(name, share) for name, share in kept["found"]]
    return Case(group, kept["length"], kept["present"], found, counts)


def mean_iou(table: NDArray[np.float64]) -> float:
    right, true = np.diag(table), table.sum(1)
    union = true + table.sum(0) - right
    return float((right / union.clip(1e-9))[true > 0].mean())


def share_reached(cases: Sequence[Case], number: Callable[[Case], int]) -> float:
    """Mean IoU of images with suggested names, relative to the one with known names."""
    reached = sum(mean_iou(case.counts[number(case)]) for case in cases)
    return reached / sum(mean_iou(case.counts[0]) for case in cases)


def set_shares(cases: Sequence[Case], number: Callable[[Case], int]) -> dict[str, float]:
    """The same with counts summed over each set, as `wildseg evaluate` has it; and all sets."""
    groups = defaultdict(list)
    for case in cases:
        groups[case.group].append(case)
    shares = {
        name: mean_iou(sum(case.counts[number(case)] for case in those))
        / mean_iou(sum(case.counts[0] for case in those))
        for name, those in groups.items()
    }
    shares["all"] = sum(shares[n] * len(those) for n, those in groups.items()) / len(cases)
    return shares


def precision_and_recall(cases: Sequence[Case], names: Callable[[Case], list[str]]) -> list[float]:
    right = sum(len(set(names(case)) & set(case.present)) for case in cases)
    said = sum(len(names(case)) for case in cases)
    return [right / max(1, said), right / sum(len(case.present) for case in cases)]


def best_length(cases: Sequence[Case]) -> float:
    return max(LENGTHS.tolist(), key=lambda n: share_reached(cases, lambda c: c.chosen(n)))


def best_sure(cases: Sequence[Case], usual: float) -> float:
    for cut in np.arange(PRESENT_SCORE, 0.99, 0.01):
        if precision_and_recall(cases, lambda c, t=cut: c.names(usual, t))[0] >= PRECISION:
            return float(cut)
    return 0.99


def cross_validate(cases: Sequence[Case]) -> dict[str, float]:
    """Choose on four fifths, measure on the rest, ten times; the means."""
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(10):
        usual, sure = {}, {}
        for fold in np.array_split(rng.permutation(len(cases)), 5):
            rest = [case for place, case in enumerate(cases) if place not in set(fold.tolist())]
            length = best_length(rest)
            cut = best_sure(rest, length)
            usual.update((id(cases[place]), length) for place in fold)
            sure.update((id(cases[place]), cut) for place in fold)
        shares = set_shares(cases, lambda c, u=usual: c.chosen(u[id(c)]))
        said = precision_and_recall(cases, lambda c, u=usual, s=sure: c.names(u[id(c)], s[id(c)]))
        rows.append({**shares, "precision": said[0], "recall": said[1]})
    return {key: round(float(np.mean([row[key] for row in rows])), 3) for key in rows[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="+")
    parser.add_argument("--keep", required=True, type=Path)
    args = parser.parse_args()
    segmenter = Segmenter(cache_dir=args.keep / "encodings")
    cases = []
    for folder in args.sets:
        data = EvaluationSet.open(folder)
        for item in data.items:
            path = args.keep / f"{Path(folder).name}-{item.stem}.json"
            if not path.exists():
                path.write_text(json.dumps(measure(segmenter, data, item)))
            if (kept := json.loads(path.read_text())) is not None:
                cases.append(read_case(Path(folder).name, kept))
    unshifted = [
        precision_and_recall(
            cases, lambda c: [name for name, share in c.found if share >= PRESENT_SCORE]
        ),
        set_shares(
            cases, lambda c: min(max(1, sum(s >= PRESENT_SCORE for _, s in c.found)), max(c.counts))
        ),
    ]
    print("one cut for all lengths:", unshifted)
    print("left-out images:", cross_validate(cases))
    length = best_length(cases)
    sure = best_sure(cases, length)
    print(f"chosen on all: length {length:.1f}, sure {sure:.2f}")
    print(set_shares(cases, lambda c: c.chosen(length)))
    for cut in (PRESENT_SCORE, sure):
        print(f"{cut:.2f}:", precision_and_recall(cases, lambda c, t=cut: c.names(length, t)))


if __name__ == "__main__":
    main()
