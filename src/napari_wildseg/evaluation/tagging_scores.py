"""Metrics of suggested class names: mean average precision, and F1 at the default cut."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = Sequence[tuple[str, float]]


@dataclass(frozen=True)
class _LabelFigures:
    """Figures of image-level labels over a set.

    Attributes
    ----------
    f1, precision, recall : float
        Over all images and classes together, at ``cut``.
    """

    # Mean over the classes that occur of the average precision with which the score ranks the
    # images.
    map: float
    # Mean over the images of the average precision with which the score ranks the classes.
    image_map: float
    f1: float
    precision: float
    recall: float
    cut: float  # from which score a class is taken to be present
    per_image: float  # names at or above the cut, mean per image


class LabelTally:
    """Collects suggested and true labels, image by image."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.vocabulary = tuple(vocabulary)
        self._place = {name: i for i, name in enumerate(self.vocabulary)}
        self._scores: list[NDArray[np.float64]] = []
        self._merged: list[NDArray[np.float64]] = []
        self._plain: list[NDArray[np.float64]] = []
        self._present: list[NDArray[np.bool_]] = []
        self._known: list[NDArray[np.bool_]] = []

    def add(
        self,
        scores: Scores,
        merged: Scores,
        plain: Scores,
        present: Sequence[str],
        known: Sequence[str],
    ) -> None:
        """Note one image."""
        self._scores.append(self._row(scores))
        self._merged.append(self._row(merged))
        self._plain.append(self._row(plain))
        for rows, names in ((self._present, present), (self._known, known)):
            row = np.zeros(len(self.vocabulary), bool)
            row[[self._place[name] for name in names]] = True
            rows.append(row)

    def to_json(self, cut: float) -> dict[str, Any]:
        """Return the figures."""
        scores, merged, plain = (
            np.stack(rows) for rows in (self._scores, self._merged, self._plain)
        )
        found: dict[str, Any] = {}
        for key, rows in (("present", self._present), ("known", self._known)):
            truth = np.stack(rows)
            found[key] = {
                "suggested": asdict(figures(scores, truth, cut, merged)),
                "whole image": asdict(figures(plain, truth, best_cut(plain, truth))),
            }
        return found

    def _row(self, scores: Scores) -> NDArray[np.float64]:
        row = np.full(len(self.vocabulary), -1.0)
        for name, score in scores:
            row[self._place[name]] = score
        return row


def figures(
    scores: NDArray[np.float64],
    truth: NDArray[np.bool_],
    cut: float,
    merged: NDArray[np.float64] | None = None,
) -> _LabelFigures:
    """Compare scores with the truth.

    `scores`: ``(I, K)``: images, classes; `truth`: ``(I, K)`` bool; `merged`: ``(I, K)``: the
    scores that the cut is applied to, if others.
    """
    occurring = np.flatnonzero(truth.any(0))
    labelled = np.flatnonzero(truth.any(1))
    taken = (scores if merged is None else merged) >= cut
    right = int((taken & truth).sum())
    return _LabelFigures(
        map=_mean(average_precision(scores[:, k], truth[:, k]) for k in occurring),
        image_map=_mean(average_precision(scores[i], truth[i]) for i in labelled),
        f1=2 * right / max(1, int(taken.sum() + truth.sum())),
        precision=right / max(1, int(taken.sum())),
        recall=right / max(1, int(truth.sum())),
        cut=cut,
        per_image=float(taken.sum(1).mean()),
    )


def average_precision(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """Return the average precision of a ranking by score; ties keep their order.

    `scores`: ``(N,)``; `truth`: ``(N,)`` bool, at least one true.
    """
    hits = truth[np.argsort(-scores, kind="stable")]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].mean())


def best_cut(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """Return the cut with the highest F1 over all images and classes."""
    flat = scores.ravel()
    order = np.argsort(-flat, kind="stable")
    right = np.cumsum(truth.ravel()[order])
    f1 = 2 * right / (np.arange(1, len(order) + 1) + max(1, int(truth.sum())))
    return float(flat[order[int(f1.argmax())]])


def _mean(values: Any) -> float:
    kept = list(values)
    return float(np.mean(kept)) if kept else 0.0
