"""Segmentation of stacks and movies; labels of corrected planes are propagated to the others."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import UNLABELLED, ClassInfo, parse_classes
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.progress import Progress, Steps
from napari_wildseg.engine.result import Result
from napari_wildseg.engine.segmenter import Segmenter
from napari_wildseg.engine.stacks.propagation import PlaneFeatures, propagate


class Planes(Protocol):
    """A sequence of images, each read on access."""

    def __len__(self) -> int:
        """Return the number of planes."""

    def __getitem__(self, number: int, /) -> Any:
        """Return a plane as `Segmenter.set_image` accepts it."""


@dataclass(frozen=True)
class PlaneStep:
    """One step of the order in which planes are segmented.

    Attributes
    ----------
    plane : int
        Index of the plane.
    anchors : tuple of int
        The nearest corrected planes on either side, whose labels are propagated.
    before : int or None
        The previous plane, between this one and the nearest anchor.
    """

    plane: int
    anchors: tuple[int, ...] = ()
    before: int | None = None


def plane_order(
    n_planes: int, corrected: Iterable[int], planes: Iterable[int]
) -> Iterator[PlaneStep]:
    """Yield the order of planes: corrected planes first, then outward from each.

    Parameters
    ----------
    n_planes : int
        Number of planes in the stack.
    corrected : iterable of int
        Planes with corrections.
    planes : iterable of int
        Planes to segment; those between them and their anchor are included.

    Examples
    --------
    >>> [turn.plane for turn in plane_order(6, [2], range(6))]
    [2, 3, 4, 5, 1, 0]
    """
    wanted = sorted(set(planes))
    anchors = sorted(set(corrected))
    if not anchors:
        yield from (PlaneStep(plane) for plane in wanted)
        return
    nearest = {p: min(anchors, key=lambda a: (abs(a - p), a)) for p in wanted}
    used = sorted({*nearest.values()} | {p for p in wanted if p in anchors})
    yield from (PlaneStep(anchor) for anchor in used)
    for anchor in used:
        for step in (1, -1):
            own = [p for p, a in nearest.items() if a == anchor and (p - anchor) * step > 0]
            if not own:
                continue
            last = max(own, key=lambda p: abs(p - anchor))
            for plane in range(anchor + step, last + step, step):
                beyond = [a for a in used if (a - plane) * step > 0]
                other = min(beyond, key=lambda a: abs(a - plane), default=None)
                before = plane - step if plane - step != anchor else None
                yield PlaneStep(plane, (anchor,) if other is None else (anchor, other), before)


def segment_stack_steps(
    segmenter: Segmenter,
    planes: Planes,
    labels: str | Iterable[str | ClassInfo],
    write: Callable[[int, Result], None],
    *,
    corrections: Mapping[int, NDArray[np.integer[Any]]] | None = None,
    threshold: float | None = None,
    only: Iterable[int] | None = None,
) -> Steps[None]:
    """Segment every plane of a stack into the same classes.

    Without corrections, planes are independent. With corrections, a corrected plane is refined
    first, and its labels are propagated outward, plane by plane, as seeds
    (`propagation.propagate`). A plane's own corrections override seeds and are kept exactly.

    Parameters
    ----------
    segmenter : Segmenter
        Segmenter that processes the planes one after the other.
    planes : Planes
        A sequence of arrays: ``planes[i]`` is an image as `Segmenter.set_image` accepts it. One
        plane is held at a time.
    labels : str or iterable of str or ClassInfo
        The classes of all planes.
    write : callable
        Called with ``(i, result)`` as soon as plane i is done.
    corrections : mapping of int to ndarray, optional
        Plane -> ``(H, W)`` integers: -1 not corrected, else 0 or a class id.
    threshold : float, optional
        In [0, 1].
    only : iterable of int, optional
        Planes to segment; all by default.

    Raises
    ------
    InputError
        If there are corrections for a plane outside the stack.
    """
    classes = parse_classes(labels)
    fixed = {
        int(i): np.asarray(c) for i, c in (corrections or {}).items() if (np.asarray(c) >= 0).any()
    }
    if fixed and not 0 <= min(fixed) <= max(fixed) < len(planes):
        raise InputError(f"There are corrections for plane {max(fixed)} of {len(planes)}.")
    turns = list(plane_order(len(planes), fixed, range(len(planes)) if only is None else only))
    known: dict[int, tuple[PlaneFeatures, NDArray[np.uint8]]] = {}
    for number, turn in enumerate(turns):
        yield Progress(number, len(turns), f"Plane {number + 1} of {len(turns)}")
        result = yield from _plane_steps(
            segmenter,
            planes[turn.plane],
            classes,
            [known[p] for p in (*turn.anchors, turn.before) if p is not None],
            fixed.get(turn.plane),
            threshold,
        )
        if fixed:
            known[turn.plane] = (segmenter.plane_features(), result.labels)
            for done in [p for p in known if p not in fixed and p != turn.plane]:
                del known[done]
        write(turn.plane, result)
    yield Progress(len(turns), len(turns), "Done")


def _plane_steps(
    segmenter: Segmenter,
    image: Any,
    classes: Sequence[ClassInfo],
    known: Sequence[tuple[PlaneFeatures, NDArray[np.uint8]]],
    corrections: NDArray[np.integer[Any]] | None,
    threshold: float | None,
) -> Steps[Result]:
    yield from segmenter.set_image_steps(image)
    plain = not known and corrections is None
    result = yield from segmenter.segment_steps(classes, threshold=threshold, refine=plain)
    if plain:
        return result
    if not known:
        return (yield from segmenter.refine_steps(corrections))
    return (yield from carried_steps(segmenter, known, classes, corrections))


def carried_steps(
    segmenter: Segmenter,
    known: Sequence[tuple[PlaneFeatures, NDArray[np.uint8]]],
    classes: Sequence[ClassInfo],
    corrections: NDArray[np.integer[Any]] | None = None,
) -> Steps[Result]:
    """Refine the segmenter's plane with labels propagated from known planes.

    Seeds act like corrections, but the result's ``corrections`` are the annotator's alone.

    Parameters
    ----------
    segmenter : Segmenter
        Its image is the plane, segmented into the same classes.
    known : sequence of (PlaneFeatures, ndarray)
        Other planes and their labels, ``(H, W)``: 0, class ids, 255 for unknown.
    classes : sequence of ClassInfo
        The classes.
    corrections : ndarray, optional
        ``(H, W)``: the plane's own; -1 not corrected, else 0 or a class id.
    """
    yield Progress(0, 1, "Carrying labels over")
    seeds = _carried_seeds(segmenter, known, classes, corrections).astype(np.int16)
    result = yield from segmenter.refine_steps(np.where(seeds == UNLABELLED, -1, seeds))
    own = None if corrections is None else np.asarray(corrections, np.int16)
    return replace(result, corrections=own)


def _carried_seeds(
    segmenter: Segmenter,
    known: Sequence[tuple[PlaneFeatures, NDArray[np.uint8]]],
    classes: Sequence[ClassInfo],
    corrections: NDArray[np.integer[Any]] | None = None,
) -> NDArray[np.uint8]:
    """Propagate labels of known planes to the segmenter's plane; see `carried_steps`.

    Returns ``(H, W)`` uint8: 0, class ids, 255 where the vote is not clear.
    """
    to_place = np.full(256, 255, np.uint8)
    to_place[[0, *(info.id for info in classes)]] = np.arange(len(classes) + 1)
    to_id = np.full(256, 255, np.uint8)
    to_id[: len(classes) + 1] = [0, *(info.id for info in classes)]
    places = [(look, to_place[labels]) for look, labels in known]
    seeds = to_id[propagate(places, segmenter.plane_features(), len(classes))]
    if corrections is not None:
        np.copyto(seeds, corrections, where=corrections >= 0, casting="unsafe")
    return seeds
