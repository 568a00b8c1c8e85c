"""How often a refinement makes an image worse."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import UNLABELLED

LIMITS = (0.02, 0.05, 0.15)
"""Drops of the mean IoU that are counted."""


@dataclass
class Drops:
    """Counts what refinements after strokes did to images.

    Attributes
    ----------
    changes : list of float
        Of the image's mean IoU, one a refinement.
    lost : list of float
        What `lost_share` gave, where it is known.
    """

    changes: list[float] = field(default_factory=list)
    lost: list[float] = field(default_factory=list)

    def add(self, change: float, lost: float | None) -> None:
        """Count one refinement.

        Parameters
        ----------
        change : float
            Of the image's mean IoU.
        lost : float or None
            What `lost_share` gave.
        """
        self.changes.append(change)
        if lost is not None:
            self.lost.append(lost)

    def to_json(self) -> dict[str, Any]:
        """Return the figures.

        Returns
        -------
        dict
            ``"refinements"``: how many; ``"0.02"``, ``"0.05"``, ``"0.15"``: the share of them that
            lowered the mean IoU by more than that; ``"worst"``: the largest drop, 0 if there is
            none; ``"lost"``: mean of `lost_share`.
        """
        changes = np.array(self.changes)
        counted = {str(limit): float((changes < -limit).mean()) for limit in LIMITS if len(changes)}
        return {
            "refinements": len(changes),
            **{str(limit): counted.get(str(limit), 0.0) for limit in LIMITS},
            "worst": float(max(0.0, -changes.min(initial=0.0))),
            "lost": float(np.mean(self.lost)) if self.lost else 0.0,
        }


def lost_share(
    truth: NDArray[np.uint8],
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    label: int,
) -> float | None:
    """Return the share of right pixels of classes that a stroke did not name that were lost.

    Parameters
    ----------
    truth, before, after : ndarray
        ``(H, W)`` uint8: the mask, 255 ignored, and the labels before and after the refinement.
    label : int
        What the stroke painted.

    Returns
    -------
    float or None
        None if no pixel of another class was right before.
    """
    right = (before == truth) & (truth != UNLABELLED) & (truth != label)
    count = int(right.sum())
    return int((right & (after != truth)).sum()) / count if count else None
