"""The annotator's whole work on an image as a project, and back into the viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wildseg.engine.corrections import checked_corrections
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.instances import UNTOUCHED
from napari_wildseg.gui.annotation.decisions import (
    UNLABELLED,
    from_corrections,
    label_values,
    merge,
    to_corrections,
)
from napari_wildseg.gui.annotation.provenance import corrections_of
from napari_wildseg.gui.annotation.session import LABELS, PSEUDO, ImageSession
from napari_wildseg.gui.layer_files import place_in_file
from napari_wildseg.gui.layers.display import Plane, level_array, level_shape, planes_like
from napari_wildseg.gui.layers.label_pair import place_of, read_plane

if TYPE_CHECKING:
    from napari.layers import Image
    from numpy.typing import NDArray

    from napari_wildseg.gui.actions.controller import Controller
    from napari_wildseg.io import LabelImage, Project


def whole(session: ImageSession) -> LabelImage:
    """Return the labels of all planes with all that is known about them; copied."""
    from napari_wildseg.io import LabelImage

    session.settle()
    layer, image = session.layer(LABELS) or session.layer(PSEUDO), session.image
    if layer is None or image is None:
        raise InputError("There is nothing to save yet: press Auto-segment first.")
    state = next((s for s in session.planes.values() if s.segmented), None)
    shape = tuple(layer.data.shape)
    done = session.touched()
    return LabelImage.from_array(
        np.array(layer.data),
        session.classes,
        image=image.name,
        model="" if state is None else state.model,
        settings={} if state is None else state.settings,
        corrections=corrections_of(shape, {plane: session.decided(plane) for plane in done}),
        **place_in_file(place_of(image), layer.ndim),
    )


def to_project(controller: Controller, session: ImageSession) -> Project:
    """Return the work on an image as a project; a copy, safe to write on a thread."""
    from dataclasses import replace

    from napari_wildseg.io import Project
    from napari_wildseg.io.project import image_digest

    labels, pseudo = whole(session), session.layer(PSEUDO)
    painted = {}
    for kind, tracked in session.tracked.items():
        painted[kind] = corrections_of(
            labels.labels.shape, {p: tracked.decided(p) for p in tracked.touched()}
        )
    array, layer = level_array(session.image), controller.objects.layer(session)
    planes = [
        {"index": list(plane.index), "model": state.model, "settings": state.settings}
        for plane, state in session.planes.items()
        if state.segmented
    ]
    return Project(
        replace(labels, corrections=painted.get(LABELS)),
        pseudo_labels=None if pseudo is None else np.array(label_values(np.asarray(pseudo.data))),
        pseudo_corrections=painted.get(PSEUDO),
        # Hashing a large image takes longer than the window may stand still.
        image_digest=(
            image_digest(array) if isinstance(array, np.ndarray) and array.nbytes < 2e7 else ""
        ),
        state={
            "planes": planes,
            "hidden": sorted(session.hidden),
            "locked": sorted(session.locked),
            "used_ids": sorted(session.used_ids),
            "selected_class": max(controller.selected_class, 0),
            "model": controller.model,
            "threshold": controller.threshold,
            "views": controller.settings.views,
            "refine_at_once": controller.refine_at_once,
            "has_labels": session.layer(LABELS) is not None,
            "whole_classes": sorted(session.objects.whole),
            "min_object_size": session.objects.min_size,
        },
        objects=None if layer is None else np.array(layer.data, np.int32),
        object_strokes=_object_strokes(session, labels.labels.shape),
    )


def _object_strokes(session: ImageSession, shape: tuple[int, ...]) -> NDArray[np.int32] | None:
    """Return the corrections of objects in all planes; None if there are none."""
    planes = session.objects.corrected
    if not planes:
        return None
    strokes = np.full(shape, UNTOUCHED, np.int32)
    for plane in planes:
        strokes[plane.slices] = session.objects.planes[plane].tracker.kept
    return strokes


def strokes_in(project: Project, plane: Plane) -> NDArray[np.int32] | None:
    """Return the corrections of a plane's objects that a project holds."""
    found = project.object_strokes
    return None if found is None else found[plane.slices]


def corrections_in(project: Project, plane: Plane) -> NDArray[np.int16] | None:
    """Return the corrections of a plane that a project holds, those of the labels winning."""
    found = (project.pseudo_corrections, project.labels.corrections)
    parts = [from_corrections(a[plane.slices]) for a in found if a is not None]
    return to_corrections(merge(*parts))


def is_of_another_image(project: Project, image: Image) -> bool:
    """Whether the pixels of an image are known to be others than those of a project's."""
    from napari_wildseg.io.project import image_digest

    array = level_array(image)
    known = project.image_digest and isinstance(array, np.ndarray) and array.nbytes < 2e7
    return bool(known) and image_digest(array) != project.image_digest


def restore_project(controller: Controller, session: ImageSession, project: Project) -> None:
    """Restore a project in the viewer; an undo restores the previous labels."""
    image = session.image
    assert image is not None
    saved, state = project.labels, project.state
    if saved.labels.shape != level_shape(image):
        raise InputError(
            f"These labels are {_size(saved.labels.shape)}, {image.name} is "
            f"{_size(level_shape(image))}: choose the image they were made for."
        )
    ids = [info.id for info in saved.classes]
    for corrections in (saved.corrections, project.pseudo_corrections):
        if corrections is not None:
            flat = corrections.reshape(-1, corrections.shape[-1])
            checked_corrections(flat, (flat.shape[0], flat.shape[1]), ids)
    _settings(controller, session, state)
    session.classes = saved.classes
    session.used_ids.update(ids, _ids(state.get("used_ids")))
    session.hidden = frozenset(_ids(state.get("hidden"))) & frozenset(ids)
    session.locked = frozenset(_ids(state.get("locked"))) & frozenset(ids)
    done = _planes(state.get("planes"), image)
    labels_too = state.get("has_labels") is not False
    for plane in _planes_with_content(image, project, done):
        _put_plane(controller, session, image, project, plane, labels_too=labels_too)
    for plane, known in done.items():
        kept = session.plane_state(plane)
        kept.prior = None
        kept.segmented, kept.model = True, str(known.get("model", ""))
        kept.settings = dict(known.get("settings") or {})
        if project.pseudo_labels is not None:
            kept.pseudo_labels = project.pseudo_labels[plane.slices].copy()
    controller.layers.apply_style(session)
    whole, size = _ids(state.get("whole_classes")), state.get("min_object_size")
    session.objects.whole = frozenset(whole) & frozenset(ids)
    session.objects.min_size = size if type(size) is int and size > 0 else 1
    controller.objects.restore(session, project.objects, project.object_strokes)
    controller.apply_visibility()
    controller.layers.activate(session, controller.selected_class)
    controller.settings_restored.emit()
    controller.classes_changed.emit()
    controller.areas_changed.emit()


def _put_plane(
    controller: Controller,
    session: ImageSession,
    image: Image,
    project: Project,
    plane: Plane,
    *,
    labels_too: bool,
) -> None:
    kinds: list[tuple[str, NDArray[np.uint8] | None, NDArray[np.int16] | None]] = [
        (PSEUDO, project.pseudo_labels, project.pseudo_corrections),
        (LABELS, project.labels.labels if labels_too else None, project.labels.corrections),
    ]
    for kind, pixels, corrections in kinds:
        if pixels is None:
            continue
        tracked = controller.layers.tracked(session, image, kind)
        tracker = tracked.tracker(plane)
        # Decisions of before belong to the work that is replaced.
        tracker.release(read_plane(tracked.layer, plane))
        decided = np.full(pixels[plane.slices].shape, 255, np.uint8)
        if corrections is not None:
            decided = from_corrections(corrections[plane.slices])
        tracked.write(plane, pixels[plane.slices], np.full_like(decided, 255))
        tracker.restore(decided)
        # Labels beside the corrections are what Refine starts from, until a run replaces them.
        uncorrected = (pixels[plane.slices] != 0) & (decided == UNLABELLED)
        if kind == LABELS and uncorrected.any():
            session.plane_state(plane).prior = pixels[plane.slices].copy()
        controller.autosave.note(session, plane)


def _planes_with_content(image: Image, project: Project, done: dict[Plane, Any]) -> list[Plane]:
    """Planes that hold anything: those that were segmented, painted in, or labelled."""
    if not done and len(level_shape(image)) == 2:
        return [Plane((None, None))]
    like = next(iter(done), Plane((*[0] * (len(level_shape(image)) - 2), None, None)))
    arrays = (project.labels.corrections, project.pseudo_corrections)
    return [
        plane
        for plane in planes_like(image, like)
        if plane in done
        or project.labels.labels[plane.slices].any()
        or any(a is not None and (a[plane.slices] >= 0).any() for a in arrays)
    ]


def _planes(entries: object, image: Image) -> dict[Plane, dict[str, Any]]:
    """Read which planes were segmented; what does not fit the image is passed over."""
    shape = level_shape(image)
    found = {}
    for entry in entries if isinstance(entries, list) else ():
        index = entry.get("index") if isinstance(entry, dict) else None
        if not isinstance(index, list) or len(index) != len(shape) or index.count(None) != 2:
            continue
        fits = (
            i is None or (type(i) is int and 0 <= i < n) for i, n in zip(index, shape, strict=True)
        )
        if all(fits) and isinstance(entry.get("settings", {}), dict):
            found[Plane(tuple(index))] = entry
    return found


def _settings(controller: Controller, session: ImageSession, state: Any) -> None:
    from dataclasses import replace

    if isinstance(state.get("model"), str) and state["model"]:
        controller.model = state["model"]
    threshold = state.get("threshold")
    if type(threshold) in (int, float) and 0 <= threshold <= 1:
        controller.threshold = float(threshold)
    if isinstance(state.get("views"), str):
        controller.settings = replace(controller.settings, views=state["views"])
    if isinstance(state.get("refine_at_once"), bool):
        controller.refine_at_once = state["refine_at_once"]
    chosen = state.get("selected_class")
    if type(chosen) is int and chosen > 0:
        controller.selected_class = chosen


def _ids(values: object) -> list[int]:
    return [v for v in values if type(v) is int] if isinstance(values, list) else []


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
