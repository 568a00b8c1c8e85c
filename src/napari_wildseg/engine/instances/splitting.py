"""Class labels to objects: whole images, the region that a stroke touched, stacks."""

from collections.abc import Collection, Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_wildseg.engine.classes import UNLABELLED
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.instances.identity import assign_ids
from napari_wildseg.engine.instances.joining import joined
from napari_wildseg.engine.instances.object_strokes import (
    apply_strokes,
    checked_strokes,
    ids_in,
    strokes_by_kind,
)
from napari_wildseg.engine.instances.parts import box_of, contacts_of, depth_of, find, parts_of


def join_across_gaps(
    parts: NDArray[np.int32], gap: int, closed: NDArray[np.bool_] | None
) -> NDArray[np.int32]:
    """Join objects of different connected regions that a thin gap separates.

    `parts`: ``(H, W)`` int32: objects of one class; `closed`: ``(H, W)`` bool: strokes that no
    object crosses; returns ``(H, W)`` int32: objects that were joined have the least of their
    numbers.
    """
    from scipy import ndimage

    distance, where = ndimage.distance_transform_edt(parts == 0, return_indices=True)
    nearest = parts[tuple(where)]
    # Two pixels in the middle of a gap, one nearest to each side: the gap is what both cross.
    reach = distance <= gap / 2 + 0.5
    if closed is not None:
        reach &= ~closed
    nearest = np.where(reach, nearest, 0).astype(np.int32)
    regions = ndimage.label(parts > 0)[0][tuple(where)].ravel()
    contacts = contacts_of(nearest)
    width = distance.ravel()[contacts.first] + distance.ravel()[contacts.second] - 1
    crossed = (width <= gap) & (regions[contacts.first] != regions[contacts.second])
    flat = nearest.ravel()
    root = list(range(int(parts.max(initial=0)) + 1))
    pairs = np.stack([flat[contacts.first[crossed]], flat[contacts.second[crossed]]], axis=1)
    for one, other in np.unique(pairs, axis=0).tolist():
        low, high = sorted((find(root, one), find(root, other)))
        root[high] = low
    return np.array([find(root, n) for n in range(len(root))], np.int32)[parts]


_MARGIN = 16
"""Pixels round a region that are recomputed with it, for the image's gradient and background."""


def split(
    labels: ArrayLike,
    classes: Collection[int] | None = None,
    image: ArrayLike | None = None,
    *,
    min_size: int = 0,
    join_gap: int = 0,
    strokes: ArrayLike | None = None,
    previous: NDArray[np.int32] | None = None,
) -> NDArray[np.int32]:
    """Split class labels into objects.

    Connected regions of a class are split where their shape narrows and, given the image, where it
    has an edge. The same input gives the same bytes.

    `labels`: ``(H, W)`` uint8: 0 background, else class ids, 255 unlabelled (no object); `image`:
    ``(H, W, 3)`` uint8; `previous`: ``(H, W)`` int32: objects before; those still there keep their
    ids; returns ``(H, W)`` int32: 0 for none, else ids; new ones from 1 (from above those of
    ``previous``) in the order in which rows meet them.

    Examples
    --------
    >>> labels = np.zeros((5, 9), np.uint8)
    >>> labels[1:4, 1:4] = labels[1:4, 6:8] = 1
    >>> np.unique(split(labels)).tolist()
    [0, 1, 2]
    """
    array, rgb = _checked(labels, image, min_size, join_gap)
    if previous is not None and previous.shape != array.shape:
        raise InputError("The previous objects are of another shape than the labels.")
    values = None if strokes is None else checked_strokes(strokes, array.shape)
    corrections = None if values is None else strokes_by_kind(values)
    mask = (array > 0) & (array != UNLABELLED)
    closed = None if corrections is None else corrections.closed
    parts = np.zeros(array.shape, np.int32)
    things = np.zeros(array.shape, bool)
    for value in np.flatnonzero(np.bincount(array[mask], minlength=1)).tolist():
        inside = array == value
        if closed is not None:
            inside &= ~closed
        above = int(parts.max())
        if classes is not None and value not in classes:
            parts[inside] = above + 1
            continue
        box = box_of(inside, _MARGIN)
        if box is None:
            continue
        seen = inside[box]
        depth = depth_of(seen)
        found = joined(parts_of(seen, depth), depth, None if rgb is None else rgb[box])
        if join_gap:
            found = join_across_gaps(found, join_gap, None if closed is None else closed[box])
        parts[box][seen] = found[seen] + above
        things |= inside
    fixed: frozenset[int] = frozenset()
    if corrections is not None:
        parts, fixed = apply_strokes(parts, mask, corrections)
    if min_size > 1:
        small = np.bincount(parts.ravel()) < min_size
        small[[n for n in fixed if n < len(small)]] = False
        parts[small[parts] & things] = 0
    # An anchor that no object lies under keeps its id free: its object may come back.
    reserved = set() if values is None else ids_in(values) - fixed
    return assign_ids(parts, previous, fixed, max(reserved, default=0) + 1)


def update(
    objects: NDArray[np.int32],
    labels: ArrayLike,
    changed: NDArray[np.bool_],
    classes: Collection[int] | None = None,
    image: ArrayLike | None = None,
    **options: object,
) -> NDArray[np.int32]:
    """Split again what a change of labels or strokes touched, and nothing else.

    `objects`: ``(H, W)`` int32: the objects before; `labels`: ``(H, W)`` uint8; `changed`: ``(H,
    W)`` bool: where labels or strokes are not what they were; returns ``(H, W)`` int32: what
    `split` gives with ``previous=objects``, as long as no stroke merges a touched region with one
    that is not.
    """
    from scipy import ndimage

    array = np.asarray(labels)
    box = box_of(changed, 1)
    if box is None:
        return objects.copy()
    gap = int(options.get("join_gap", 0))  # type: ignore[call-overload]
    around = ndimage.binary_dilation(changed, iterations=1 + gap) if gap else _grown(changed, box)
    touched = around.copy()
    for value in np.flatnonzero(np.bincount(array[around], minlength=1)).tolist():
        if value in (0, UNLABELLED):
            continue
        inside = array == value
        if classes is None or value in classes:
            near = ndimage.binary_dilation(inside, iterations=(gap + 1) // 2) if gap else inside
            regions, _ = ndimage.label(near)
            hit = np.zeros(int(regions.max()) + 1, bool)
            hit[regions[around]] = True
            hit[0] = False
            touched |= hit[regions] & inside
        else:
            touched |= inside
    # Objects that were there go as a whole, also where their class has gone.
    hit = np.zeros(int(objects.max(initial=0)) + 1, bool)
    hit[objects[touched]] = True
    hit[0] = False
    touched |= hit[objects]
    window = box_of(touched, _MARGIN)
    assert window is not None
    inner = touched[window]
    own = dict(options)
    if own.get("strokes") is not None:
        strokes = np.asarray(own["strokes"])[window]
        own["strokes"] = np.where(inner, strokes, np.where(strokes == 0, 0, -1))
    crop = None if image is None else np.asarray(image)[window]
    before = np.where(inner, objects[window], 0).astype(np.int32)
    found = split(array[window], classes, crop, previous=before, **own)  # type: ignore[arg-type]
    out = np.where(touched, 0, objects).astype(np.int32)
    found[~inner] = 0
    # Ids that are new in the window are above all ids of the image.
    known = set(np.unique(before).tolist())
    number = int(objects.max(initial=0))
    if own.get("strokes") is not None:
        known |= ids_in(np.asarray(own["strokes"]))
        number = max(number, *ids_in(np.asarray(options["strokes"])), 0)
    lut = np.arange(int(found.max(initial=0)) + 1)
    values, first = np.unique(found, return_index=True)
    for value in values[np.argsort(first, kind="stable")].tolist():
        if value not in known:
            number += 1
            lut[value] = number
    out[window][inner] = lut[found][inner]
    return out


def split_stack(
    labels: ArrayLike,
    classes: Collection[int] | None = None,
    images: Iterable[ArrayLike] | None = None,
    *,
    strokes: ArrayLike | None = None,
    **options: object,
) -> NDArray[np.int32]:
    """Split each plane of a stack; ids go on from plane to plane by overlap.

    `labels`: ``(Z, H, W)`` uint8; `images`: ``(H, W, 3)`` uint8 each, one a plane; `strokes`: ``(Z,
    H, W)`` integers; returns ``(Z, H, W)`` int32.
    """
    array = np.asarray(labels)
    if array.ndim != 3:
        raise InputError(f"A stack of labels is (Z, H, W), not {array.shape}.")
    planes = [None] * len(array) if images is None else list(images)
    if len(planes) != len(array):
        raise InputError(f"There are {len(planes)} images for {len(array)} planes of labels.")
    marks = None if strokes is None else checked_strokes(strokes, array.shape)
    fixed = () if marks is None else ids_in(marks)
    out = np.zeros(array.shape, np.int32)
    used = max(fixed, default=0)
    for z, plane in enumerate(array):
        own = None if marks is None else marks[z]
        found = split(plane, classes, planes[z], strokes=own, **options)  # type: ignore[arg-type]
        kept = () if own is None else ids_in(own)
        out[z] = assign_ids(found, out[z - 1] if z else None, kept, used + 1)
        used = max(used, int(out[z].max()))
    return out


def _checked(
    labels: ArrayLike, image: ArrayLike | None, min_size: int, join_gap: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Return labels and image as arrays of the right type."""
    array = np.asarray(labels)
    if array.ndim != 2 or array.dtype.kind not in "bui" or not array.size:
        raise InputError(f"Labels are (H, W) class ids, not {array.shape} {array.dtype}.")
    if int(array.min()) < 0 or int(array.max()) > UNLABELLED:
        raise InputError(f"Labels run from {array.min()} to {array.max()}: give 0 to 255.")
    if min_size < 0 or join_gap < 0:
        raise InputError("The least size and the gap to join are numbers of pixels, 0 or more.")
    if image is None:
        return array.astype(np.uint8), None
    rgb = np.asarray(image)
    if rgb.shape != (*array.shape, 3) or rgb.dtype != np.uint8:
        raise InputError(
            f"The image is {rgb.shape} {rgb.dtype}: give (H, W, 3) uint8 of the labels' size "
            f"{array.shape}."
        )
    return array.astype(np.uint8), rgb


def _grown(mask: NDArray[np.bool_], box: tuple[slice, slice]) -> NDArray[np.bool_]:
    """Return a mask and the pixels at its edges; ``box`` holds both."""
    from scipy import ndimage

    out = mask.copy()
    out[box] = ndimage.binary_dilation(mask[box])
    return out
