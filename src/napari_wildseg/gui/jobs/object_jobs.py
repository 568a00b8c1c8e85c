"""Objects brought up to date: what was painted and what became of the class labels, on a worker."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.progress import Progress, Steps
from napari_wildseg.gui.annotation.decisions import Patch, Plan, PlaneSnapshot, Step

if TYPE_CHECKING:
    from napari_wildseg.gui.layers.display import PlaneSource


@dataclass(frozen=True)
class ObjectsRequest:
    """How objects and class labels stand; nothing in it is ever written to."""

    snapshot: PlaneSnapshot  # ids in the layer, ids that were written, strokes: int32 each
    labels: NDArray[np.uint8]  # ``(H, W)`` uint8: the class labels now
    source: PlaneSource  # the picture
    image: tuple[Any, NDArray[np.uint8]] | None = None  # key and pixels of the picture, if read
    before: NDArray[np.uint8] | None = None  # the class labels of the ids; None if not known
    fit: bool = True  # whether the ids have to be fitted to the labels, or only measured
    things: Collection[int] | None = None  # the classes that are split; None for all
    min_size: int = 1
    cut: bool = False  # whether zeros that were painted divide and take no pixel away
    neighbour: NDArray[np.int32] | None = None  # ids of the plane before, for a plane without any
    first_new: int = 1  # new ids are not below it


@dataclass(frozen=True)
class ObjectsResult:
    """Objects of a plane that are up to date."""

    plan: Plan | None  # how to show them; None if ids and strokes stay as they are
    image: tuple[Any, NDArray[np.uint8]] | None
    class_of: dict[int, int]
    area: dict[int, int]
    painted: bool  # whether anything had been painted


def objects_steps(request: ObjectsRequest) -> Steps[ObjectsResult]:
    """Split, or split again what was touched, and measure."""
    from napari_wildseg.engine.images.rgb import as_rgb
    from napari_wildseg.engine.instances import classes_of, record, split, update

    yield Progress(0, 3, "Reading the image")
    snapshot, labels, image = request.snapshot, request.labels, request.image
    base, data = np.asarray(snapshot.baseline, np.int32), np.asarray(snapshot.data, np.int32)
    painted = bool((data != base).any())
    if (painted or request.fit) and (image is None or image[0] != request.source.key):
        image = (request.source.key, as_rgb(request.source.read()))
    yield Progress(1, 3, "Splitting into objects")
    strokes, ids = np.asarray(snapshot.kept, np.int32), base
    if painted:
        strokes = record(strokes, base, data, cut=request.cut, first_new=request.first_new)
    if painted or request.fit:
        assert image is not None
        how: dict[str, Any] = {"strokes": strokes, "min_size": request.min_size}
        before = request.before
        if before is None:
            known = base if base.any() or request.neighbour is None else request.neighbour
            ids = split(labels, request.things, image[1], previous=known, **how)
        else:
            changed = (labels != before) | (strokes != snapshot.kept) | (data != base)
            ids = update(base, labels, changed, request.things, image[1], **how)
        if request.first_new > 1:
            ids = numbered_from(ids, base, strokes, request)
    yield Progress(2, 3, "Measuring objects")
    counts = np.bincount(ids.ravel())
    area = {n: int(counts[n]) for n in np.flatnonzero(counts).tolist() if n}
    changed_ids = not np.array_equal(ids, base)
    plan = None
    # A cut that ends inside an object divides nothing, and is not kept.
    if changed_ids or (painted and not request.cut):
        pixels = Patch.between(base, ids)
        step = Step(pixels, pixels, Patch.between(snapshot.kept, strokes))
        plan = Plan(snapshot, ids, strokes, step, changed_ids)
    return ObjectsResult(plan, image, classes_of(ids, labels, nearest=True), area, painted)


def numbered_from(
    ids: NDArray[np.int32],
    base: NDArray[np.int32],
    strokes: NDArray[np.int32],
    request: ObjectsRequest,
) -> NDArray[np.int32]:
    """Give ids that are new in a plane numbers that no other plane has."""
    from napari_wildseg.engine.instances.object_strokes import ids_in

    known = ids_in(base) | ids_in(strokes)
    if request.neighbour is not None:
        known |= ids_in(request.neighbour)
    present = ids_in(ids)
    number = max(request.first_new - 1, *known, 0)
    table = np.arange(max(present, default=0) + 1, dtype=np.int32)
    for place, new in enumerate(sorted(present - known)):
        table[new] = number + 1 + place
    return table[ids]
