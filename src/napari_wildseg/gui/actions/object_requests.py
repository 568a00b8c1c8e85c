"""What a worker needs to split a plane into objects: class labels, settings, ids and strokes."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from napari.layers import Image, Labels
from numpy.typing import NDArray

from napari_wildseg.gui.annotation.decisions import label_values, only
from napari_wildseg.gui.annotation.image_objects import ObjectPlane
from napari_wildseg.gui.annotation.session import LABELS, PSEUDO, ImageSession
from napari_wildseg.gui.jobs.object_jobs import ObjectsRequest
from napari_wildseg.gui.layers.display import Plane, capture
from napari_wildseg.gui.layers.label_pair import read_plane


def make_request(
    session: ImageSession,
    image: Image,
    plane: Plane,
    layer: Labels | None,
    others: Iterable[Any],
    *,
    cut: bool,
) -> ObjectsRequest:
    """Copy the objects and class labels of a plane for a worker.

    `layer`: the layer of objects, if there is one; `others`: all layers of the viewer; `cut`:
    whether the last stroke was made with the tool *Cut*.
    """
    session.settle()
    state = session.objects.planes[plane]
    baseline = state.tracker.baseline
    data = baseline if layer is None else np.array(read_plane(layer, plane))
    labels, settings = np.array(labels_of(session, plane)), settings_of(session)
    first_new, neighbour = 1, None
    if layer is not None and layer.ndim > 2:
        first_new = int(layer.data.max()) + 1
        neighbour = _neighbour(session, plane)
    return ObjectsRequest(
        snapshot=state.tracker.snapshot(data),
        labels=labels,
        source=capture(image, plane, others),
        image=state.image,
        before=None if state.settings != settings or state.seen is None else state.labels,
        fit=is_unfit(state, labels, settings),
        things=settings[0],
        min_size=settings[1],
        cut=cut,
        neighbour=neighbour,
        first_new=first_new,
    )


def class_layer(session: ImageSession) -> Labels | None:
    """Return the layer of class labels that objects are made of."""
    return session.layer(LABELS) or session.layer(PSEUDO)


def labels_of(session: ImageSession, plane: Plane) -> NDArray[np.uint8]:
    """Return the class labels of a plane; values that belong to no class are background."""
    layer = class_layer(session)
    assert layer is not None
    return only(label_values(read_plane(layer, plane)), session.ids, 0)


def settings_of(session: ImageSession) -> tuple[frozenset[int] | None, int]:
    """Return the classes that are split, None for all, and the smallest size."""
    return session.objects.things(session.ids), session.objects.min_size


def is_unfit(
    state: ObjectPlane, labels: NDArray[np.uint8], settings: tuple[frozenset[int] | None, int]
) -> bool:
    """Whether ids were fitted to other class labels or settings than these."""
    return (
        state.seen is None or state.settings != settings or not np.array_equal(labels, state.seen)
    )


def _neighbour(session: ImageSession, plane: Plane) -> NDArray[np.int32] | None:
    """Return the ids of the nearest parallel plane that was split, for ids to go on from."""
    here = np.array([i for i in plane.index if i is not None])
    found = [
        (int(np.abs(np.array([i for i in other.index if i is not None]) - here).sum()), state)
        for other, state in session.objects.planes.items()
        if other != plane and other.is_parallel(plane) and state.seen is not None
    ]
    return min(found, key=lambda each: each[0])[1].tracker.baseline if found else None
