"""How often a refinement makes an image worse."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import UNLABELLED

_LIMITS = (0.02, 0.05, 0.15)
"""Thresholds of the drop in mean IoU that are counted."""


@dataclass
class Drops:
    """Counts what refinements after strokes did to images."""

    changes: list[float] = field(default_factory=list)  # of the image's mean IoU, one a refinement
    lost: list[float] = field(default_factory=list)  # what `lost_share` gave, where it is known

    def add(self, change: float, lost: float | None) -> None:
        """Count one refinement."""
        self.changes.append(change)
        if lost is not None:
            self.lost.append(lost)

    def to_json(self) -> dict[str, Any]:
        """Return the figures."""
        changes = np.array(self.changes)
        counted = {
            str(limit): float((changes < -limit).mean()) for limit in _LIMITS if len(changes)
        }
        return {
            "refinements": len(changes),
            **{str(limit): counted.get(str(limit), 0.0) for limit in _LIMITS},
            "worst": float(max(0.0, -changes.min(initial=0.0))),
            "lost": float(np.mean(self.lost)) if self.lost else 0.0,
        }


def lost_share(
    truth: NDArray[np.uint8], before: NDArray[np.uint8], after: NDArray[np.uint8], label: int
) -> float | None:
    """Return the share of right pixels of classes that a stroke did not name that were lost.

    `truth`, `before`, `after`: ``(H, W)`` uint8: the mask, 255 ignored, and the labels before and
    after the refinement.
    """
    right = (before == truth) & (truth != UNLABELLED) & (truth != label)
    count = int(right.sum())
    return int((right & (after != truth)).sum()) / count if count else None
