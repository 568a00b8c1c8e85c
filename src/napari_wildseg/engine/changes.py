"""What a refinement changed, class by class, and a sentence that says so."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALARMING = 1 / 3
"""A class that was not painted may lose this share of its pixels without a warning."""

_NAMED = 3
"""Most classes that the sentence names."""


@dataclass(frozen=True)
class Change:
    """What happened to one class.

    Attributes
    ----------
    before, lost, gained : int
        Its pixels before, those that are of another class now, and those that were of another.
    """

    label: int  # the class
    before: int
    lost: int
    gained: int

    @property
    def net(self) -> int:
        """Pixels more or less than before."""
        return self.gained - self.lost

    @property
    def lost_share(self) -> float:
        """Share of its pixels before that are lost."""
        return self.lost / self.before if self.before else 0.0


def changes_between(
    before: NDArray[np.integer[Any]], after: NDArray[np.integer[Any]]
) -> list[Change]:
    """Count changed pixels class by class. `before`, `after`: ``(H, W)`` labels from 0 to 255."""
    changed = before != after
    counts = np.bincount(before.ravel(), minlength=256)
    lost = np.bincount(before[changed], minlength=256)
    gained = np.bincount(after[changed], minlength=256)
    return [
        Change(label, int(counts[label]), int(lost[label]), int(gained[label]))
        for label in np.flatnonzero(lost + gained).tolist()
    ]


def alarming(changes: Collection[Change], painted: Collection[int]) -> list[Change]:
    """Return the changes of classes that were not painted and lost more than a third."""
    return [c for c in changes if c.label not in painted and c.lost_share > ALARMING]


def describe(
    changes: Collection[Change], names: Mapping[int, str], painted: Collection[int] = ()
) -> str:
    """Name the largest changes, the alarming ones first.

    Examples
    --------
    >>> describe([Change(1, 100, 80, 0), Change(2, 200, 1, 81)], {1: "elephant", 2: "sky"})
    'elephant -80 %, sky +40 %'
    """
    names = {0: "background", **names}
    first = {change.label: change.lost_share for change in alarming(changes, painted)}
    known = [change for change in changes if change.label in names]
    known.sort(key=lambda change: (-first.get(change.label, 0.0), -abs(change.net)))
    amounts = [(names[c.label], _amount(c, c.label in first)) for c in known]
    return ", ".join([f"{name} {amount}" for name, amount in amounts if amount][:_NAMED])


def _amount(change: Change, alarm: bool) -> str:
    """Say how much a class changed; empty if it is less than 1 %."""
    if not change.before:
        return "is new"
    net = round(100 * change.net / change.before)
    lost = round(100 * change.lost_share)
    if alarm and abs(net + lost) >= 10:  # it lost one part of the image and gained another
        return f"-{lost} % +{round(100 * change.gained / change.before)} %"
    return f"{net:+d} %" if net else ""
