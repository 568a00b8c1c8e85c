"""What the controls do: one annotator, one viewer, one job at a time.

The controller knows layers and jobs but no widget; the dock widget listens to its signals.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from psygnal import Signal

from napari_wildseg.engine.errors import WildsegError
from napari_wildseg.engine.progress import Progress
from napari_wildseg.gui import classes as class_list
from napari_wildseg.gui import notices, settings
from napari_wildseg.gui.display import Plane, capture, current_plane
from napari_wildseg.gui.jobs import (
    EnginePool,
    Outcome,
    Request,
    refine_steps,
    relevance_steps,
    segment_steps,
    suggest_steps,
    threshold_steps,
)
from napari_wildseg.gui.layers import (
    LABELS_SUFFIX,
    PSEUDO_SUFFIX,
    dress,
    make_labels,
    place_of,
    read_plane,
)
from napari_wildseg.gui.regions import region_at
from napari_wildseg.gui.runner import Runner
from napari_wildseg.gui.session import (
    LABELS,
    PSEUDO,
    ImageSession,
    SessionStore,
    TrackedLayer,
    as_decided,
)
from napari_wildseg.gui.worker import Job, shared_worker

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari import Viewer

    from napari_wildseg.engine.progress import Steps

SUFFIX = {LABELS: LABELS_SUFFIX, PSEUDO: PSEUDO_SUFFIX}


class Controller:
    """Carries out what the annotator asks for.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer whose layers are used.
    """

    status = Signal(str)
    """A sentence: what happens, or what to do next."""
    classes_changed = Signal()
    areas_changed = Signal()
    suggested = Signal(object)
    class_picked = Signal(int)

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self.settings = settings.load()
        self.model = self.settings.model
        self.threshold = float(self.settings.threshold)
        self.refine_at_once = bool(self.settings.refine_at_once)
        self.selected_class = 0
        self.sessions = SessionStore()
        self._pool = EnginePool()
        self._image: Image | None = None
        self._pending: tuple[Any, ...] = ()
        self.runner = Runner()
        self.runner.status.connect(self.status.emit)
        self.runner.failed.connect(self._tell)
        self._closed = False
        viewer.layers.events.removed.connect(self._on_layer_removed)
        viewer.dims.events.current_step.connect(self._on_plane_changed)

    # ------------------------------------------------------------------ image and classes

    @property
    def image(self) -> Image | None:
        """The chosen image layer."""
        return self._image

    @property
    def session(self) -> ImageSession | None:
        """What is known about the chosen image."""
        return self.sessions.get(self._image)

    @property
    def classes(self) -> tuple[Any, ...]:
        """The class list of the chosen image; before there is one, the list typed so far."""
        session = self.session
        return self._pending if session is None else session.classes

    def choose_image(self, image: Image | None) -> None:
        """Work on another image; a job for the one before is cancelled.

        Parameters
        ----------
        image : napari.layers.Image or None
            The image. One that is new here starts with the class list in use.
        """
        if image is self._image:
            return
        if self.runner.running:
            self.cancel("The image was changed, so the run was cancelled.")
        before = self.classes
        self._image = image
        if image is None:
            self._pending = before
        else:
            self.sessions.open(image, before)
        self.classes_changed.emit()
        self.areas_changed.emit()
        self.say_what_next()

    def set_classes(self, classes: Iterable[Any]) -> None:
        """Replace the class list of the chosen image and dress its layers accordingly."""
        session = self.session
        if session is None:
            self._pending = tuple(classes)
        else:
            session.classes = tuple(classes)
            session.used_ids.update(c.id for c in session.classes)
            self._dress(session)
        self.classes_changed.emit()
        self.areas_changed.emit()

    def add_classes(self, text: str) -> bool:
        """Add classes as typed, for example ``"cat, cup of coffee=cup|mug"``.

        Returns
        -------
        bool
            Whether they were added; if not, the annotator was told why.
        """
        session = self.session
        used = session.used_ids if session is not None and session.tracked else set()
        try:
            self.set_classes(class_list.added(self.classes, text, used))
        except WildsegError as error:
            self._tell(str(error))
            return False
        self.say_what_next()
        return True

    def rename_class(self, class_id: int, text: str) -> bool:
        """Give a class another name or other prompts; its pixels stay."""
        try:
            self.set_classes(class_list.renamed(self.classes, class_id, text))
        except WildsegError as error:
            self._tell(str(error))
            self.classes_changed.emit()
            return False
        session = self.session
        if session is not None and session.tracked:
            self.status.emit("The name changed: Refine or Auto-segment asks for the new one.")
        return True

    def recolour_class(self, class_id: int, colour: tuple[int, int, int]) -> None:
        """Give a class another colour."""
        self.set_classes(class_list.recoloured(self.classes, class_id, colour))

    def remove_class(self, class_id: int) -> None:
        """Take a class out of the list; its pixels become background, as one undo step."""
        session = self.session
        if session is not None:
            for kind, tracked in session.tracked.items():
                tracked.remove_label(class_id, 255 if kind == PSEUDO else 0)
        self.set_classes(c for c in self.classes if c.id != class_id)
        self.say_what_next()

    def show_class(self, class_id: int, visible: bool) -> None:
        """Draw a class or hide it."""
        session = self.session
        if session is not None:
            hidden = set(session.hidden)
            (hidden.discard if visible else hidden.add)(class_id)
            session.hidden = frozenset(hidden)
            self._dress(session)

    def pick_class(self, class_id: int) -> None:
        """Make a class the one to paint with."""
        self.selected_class = class_id
        session = self.session
        layer = None if session is None else self._paint_layer(session)
        if layer is None:
            return
        self.viewer.layers.selection.active = layer
        layer.selected_label = class_id
        layer.mode = "paint"

    # ------------------------------------------------------------------ running

    def auto_segment(self) -> None:
        """Find the classes in the plane shown; corrections made before are kept."""
        ready = self._ready()
        if ready is None:
            return
        session, image, plane = ready
        refine = self.refine_at_once
        request = self._request(session, image, plane)
        steps = partial(segment_steps, request, session.corrections(plane), refine=refine)
        self.runner.run("Auto-segment", image, steps, partial(self._take_segmented, session, plane))

    def refine(self) -> None:
        """Refine with the corrections painted so far."""
        ready = self._ready()
        if ready is None:
            return
        session, image, plane = ready
        if not session.plane_state(plane).segmented:
            self._tell("There is nothing to refine yet: press Auto-segment first.")
            return
        unknown = session.unknown_labels(plane)
        if unknown:
            self._tell(
                f"Label {unknown[0]} was painted but belongs to no class: add a class for it, "
                "or repaint it with a label of the table."
            )
            return
        request = self._request(session, image, plane)
        steps = partial(refine_steps, request, session.corrections(plane))
        self.runner.run("Refine", image, steps, partial(self._take_refined, session, plane))

    def set_threshold(self, value: float) -> None:
        """Move the line between sure and not sure; the pseudo-labels follow at once."""
        self.threshold = float(value)
        session, plane = self.session, self.plane
        if session is None or self._image is None or plane is None or not session.classes:
            return
        if not session.plane_state(plane).segmented or not self.runner.is_free_for("Threshold"):
            return
        request = self._request(session, self._image, plane)
        self.runner.run(
            "Threshold",
            self._image,
            partial(threshold_steps, request),
            partial(self._take_threshold, session, plane),
            quiet=True,
        )

    def settle_threshold(self) -> None:
        """Refine once the slider has come to rest."""
        session, plane = self.session, self.plane
        if session is None or plane is None or not session.plane_state(plane).segmented:
            return
        if (tracked := session.tracked.get(PSEUDO)) is not None:
            tracked.end_preview()
        if self.refine_at_once:
            self.refine()

    def suggest(self) -> None:
        """Look for names that fit the image."""
        if self._image is None:
            self.say_what_next()
            return
        plane = self.plane
        session = self.session
        assert session is not None
        assert plane is not None
        request = self._request(session, self._image, plane)
        steps = partial(suggest_steps, request, self.settings.vocabulary, self.settings.suggestions)
        self.runner.run("Suggest", self._image, steps, partial(self._take_suggestions, session))

    def show_relevance(self, class_id: int) -> None:
        """Show where the model sees a class, as an image layer."""
        ready = self._ready()
        if ready is None:
            return
        session, image, plane = ready
        request = self._request(session, image, plane)
        name = next((c.name for c in session.classes if c.id == class_id), "")
        if name:
            self.runner.run(
                "Relevance map",
                image,
                partial(relevance_steps, request, class_id),
                partial(self._take_relevance, session, plane, name),
            )

    def cancel(self, why: str = "Cancelled: nothing was changed.") -> None:
        """Stop the running job at its next step."""
        if self.runner.cancel():
            self.status.emit(why)

    # ------------------------------------------------------------------ confirming

    def confirm_class(self) -> int:
        """Keep the pixels of the selected class as they are.

        Returns
        -------
        int
            How many pixels are newly kept.
        """
        found = self._paint_target()
        if found is None:
            return 0
        _, tracked, layer, plane = found
        label = int(layer.selected_label)
        return self._confirm(tracked, layer, plane, read_plane(layer, plane) == label, label)

    def confirm_at_cursor(self) -> int:
        """Keep the connected region under the cursor; returns how many pixels that adds."""
        found = self._paint_target()
        if found is None:
            return 0
        _, tracked, layer, plane = found
        position = layer.world_to_data(self.viewer.cursor.position)
        spot = [round(float(p)) for p, i in zip(position, plane.index, strict=True) if i is None]
        data = read_plane(layer, plane)
        if not all(0 <= s < n for s, n in zip(spot, data.shape, strict=True)):
            self._tell("Move the cursor over the region that is right, then confirm.")
            return 0
        label = int(data[tuple(spot)])
        return self._confirm(tracked, layer, plane, region_at(data, (spot[0], spot[1])), label)

    def release_corrections(self) -> None:
        """Let the next Refine decide everything in this plane again."""
        session, plane = self.session, self.plane
        if session is None or plane is None:
            return
        for tracked in session.tracked.values():
            layer = tracked.layer
            if layer is not None and plane in tracked.trackers:
                tracked.trackers[plane].release(read_plane(layer, plane))
        self.status.emit("Corrections released: the next Refine decides every pixel again.")

    def _confirm(
        self, tracked: TrackedLayer, layer: Labels, plane: Plane, region: Any, label: int
    ) -> int:
        name = self._name_of(label)
        if label == 255:
            self._tell("Pixels that are not sure cannot be confirmed: paint them first.")
            return 0
        count = tracked.tracker(plane).confirm(region, read_plane(layer, plane))
        if count:
            self.status.emit(
                f"{count:,} pixels of {name} confirmed: Refine leaves them as they are."
            )
        elif region.any():
            self.status.emit(f"Every pixel of {name} is confirmed already.")
        else:
            self.status.emit(f"There is no {name} here to confirm.")
        self.areas_changed.emit()
        return count

    # ------------------------------------------------------------------ read-outs

    @property
    def plane(self) -> Plane | None:
        """The plane of the chosen image that the viewer shows."""
        if self._image is None:
            return None
        dims = self.viewer.dims
        return current_plane(self._image, dims.point, dims.order)

    def areas(self) -> dict[int, float]:
        """Return the share of the plane each label covers."""
        session, plane = self.session, self.plane
        layer = None if session is None else session.layer(LABELS) or session.layer(PSEUDO)
        if layer is None or plane is None:
            return {}
        pixels = read_plane(layer, plane)
        # The read-out has three digits; a hundred-megapixel plane need not be counted in full.
        step = max(1, int(np.sqrt(pixels.size / 4_000_000)))
        counts = np.bincount(pixels[::step, ::step].ravel())
        return {value: counts[value] / counts.sum() for value in np.flatnonzero(counts).tolist()}

    def say_what_next(self) -> None:
        """Say what the annotator can do now."""
        if self.runner.running:
            return
        if self._image is None:
            message = "Open an image first (File > Open, or File > Open Sample)."
        elif not self.classes:
            message = "Type what is in the image, for example: cup of coffee, spoon, table."
        elif not self._segmented():
            message = "Ready: press Auto-segment."
        else:
            message = "Pick a class and paint what is wrong, then press Refine."
        self.status.emit(message)

    # ------------------------------------------------------------------ results

    def _take_segmented(self, session: ImageSession, plane: Plane, outcome: Outcome) -> None:
        image = session.image
        if image is None or image not in self.viewer.layers:
            return
        state = session.plane_state(plane)
        state.segmented, state.model, state.settings = True, outcome.model, outcome.settings
        decided = as_decided(session.corrections(plane))
        pseudo = self._tracked(session, image, PSEUDO)
        pseudo.write(plane, outcome.pseudo_labels)
        if outcome.labels is not None:
            self._tracked(session, image, LABELS).write(plane, outcome.labels, decided)
        self.apply_visibility()
        self._activate(session)
        seconds = sum(outcome.seconds.values())
        self._after(outcome, f"Done in {seconds:.1f} s. Paint what is wrong, then press Refine.")

    def _take_refined(self, session: ImageSession, plane: Plane, outcome: Outcome) -> None:
        image = session.image
        if image is None or image not in self.viewer.layers or outcome.labels is None:
            return
        decided = as_decided(session.corrections(plane))
        if (pseudo := session.tracked.get(PSEUDO)) is not None and self._there(pseudo.layer):
            pseudo.write(plane, outcome.pseudo_labels)
        changed = self._tracked(session, image, LABELS).write(plane, outcome.labels, decided)
        self.apply_visibility()
        kept = session.decided_pixels(plane)
        what = "Refined" if changed else "Refined; nothing changed"
        self._after(
            outcome, f"{what}: {kept:,} corrected pixels kept. Ctrl+Z brings back the state before."
        )

    def _take_threshold(self, session: ImageSession, plane: Plane, outcome: Outcome) -> None:
        pseudo = session.tracked.get(PSEUDO)
        if pseudo is not None and self._there(pseudo.layer):
            pseudo.write(plane, outcome.pseudo_labels, preview=True)
        unsure = float((outcome.pseudo_labels == 255).mean())
        self._after(
            outcome, f"Threshold {self.threshold:.2f}: {unsure:.0%} of the pixels are not sure."
        )

    def _take_suggestions(self, session: ImageSession, names: list[tuple[str, float]]) -> None:
        session.suggestions = list(names)
        self.suggested.emit(session.suggestions)
        self.status.emit("Click a name to add it." if names else "No name fits this image well.")

    def _take_relevance(
        self, session: ImageSession, plane: Plane, name: str, relevance: Any
    ) -> None:
        image = session.image
        if image is None or image not in self.viewer.layers:
            return
        self.viewer.add_image(
            plane.embed(relevance),
            name=f"{image.name} relevance of {name}",
            colormap="magma",
            contrast_limits=(0.0, 1.0),
            blending="additive",
            opacity=0.7,
            metadata={"wildseg": "relevance"},
            **place_of(image, plane),
        )
        self._activate(session)
        self.status.emit(
            f"Bright where the model sees {name}. Delete the layer when you have seen it."
        )

    def _after(self, outcome: Outcome, message: str) -> None:
        self.areas_changed.emit()
        self.status.emit(" ".join([*outcome.notices, message]))

    # ------------------------------------------------------------------ layers

    def apply_visibility(self) -> None:
        """Show the pseudo-labels only while they are what is worked on."""
        session = self.session
        if session is None:
            return
        labels, pseudo = session.layer(LABELS), session.layer(PSEUDO)
        if pseudo is not None:
            pseudo.visible = not (self.refine_at_once and self._there(labels))
        if labels is not None:
            labels.visible = True

    def _tracked(self, session: ImageSession, image: Image, kind: str) -> TrackedLayer:
        """Return one of the two layers, made anew if it was deleted."""
        tracked = session.tracked.get(kind)
        if tracked is not None and self._there(tracked.layer):
            return tracked
        fill = 255 if kind == PSEUDO else 0
        layer = make_labels(image, image.name + SUFFIX[kind], session.classes, fill=fill)
        tracked = session.tracked[kind] = TrackedLayer(layer)
        self.viewer.add_layer(layer)
        self._dress(session)
        layer.events.paint.connect(self._on_paint)
        layer.events.set_data.connect(self._on_refresh)
        layer.events.selected_label.connect(self._on_label_selected)
        return tracked

    def _there(self, layer: Labels | None) -> bool:
        return layer is not None and layer in self.viewer.layers

    def _dress(self, session: ImageSession) -> None:
        for tracked in session.tracked.values():
            if tracked.layer is not None:
                # Setting colours refreshes the layer; that is no undo.
                tracked.writing = True
                try:
                    dress(tracked.layer, session.classes, session.hidden)
                finally:
                    tracked.writing = False

    def _paint_layer(self, session: ImageSession) -> Labels | None:
        active = self.viewer.layers.selection.active
        ours = [layer for layer in session.label_layers() if self._there(layer)]
        if active in ours:
            return active
        visible = [layer for layer in ours if layer.visible]
        return (visible or ours or [None])[-1]

    def _paint_target(self) -> tuple[ImageSession, TrackedLayer, Labels, Plane] | None:
        session, plane = self.session, self.plane
        layer = None if session is None else self._paint_layer(session)
        owner = None if layer is None else self.sessions.owner_of(layer)
        if owner is None or layer is None or plane is None:
            self._tell("There is nothing to confirm yet: press Auto-segment first.")
            return None
        return (*owner, layer, plane)

    def _activate(self, session: ImageSession) -> None:
        layer = self._paint_layer(session)
        if layer is None:
            return
        self.viewer.layers.selection.active = layer
        ids = [c.id for c in session.classes]
        layer.selected_label = self.selected_class if self.selected_class in ids else ids[0]

    # ------------------------------------------------------------------ jobs

    def _ready(self) -> tuple[ImageSession, Image, Plane] | None:
        session, plane = self.session, self.plane
        if self._image is None or session is None or plane is None or not session.classes:
            self.say_what_next()
            return None
        return session, self._image, plane

    def _request(self, session: ImageSession, image: Image, plane: Plane) -> Request:
        return Request(
            pool=self._pool,
            slot=session.plane_state(plane).slot,
            source=capture(image, plane, self.viewer.layers),
            classes=session.classes,
            threshold=self.threshold,
            model=self.model,
            options={"views": self.settings.views},
        )

    def _tell(self, message: str) -> None:
        self.status.emit(message)
        notices.warn(message)

    # ------------------------------------------------------------------ events

    def _on_paint(self, event: Any) -> None:
        owner = self.sessions.owner_of(event.source)
        if owner is not None and not owner[1].writing:
            owner[1].note_paint()
            self.areas_changed.emit()

    def _on_refresh(self, event: Any) -> None:
        owner = self.sessions.owner_of(event.source)
        if owner is not None and not owner[1].writing:
            owner[1].note_refresh()
            self.areas_changed.emit()

    def _on_label_selected(self, event: Any) -> None:
        owner = self.sessions.owner_of(event.source)
        if owner is not None and owner[0] is self.session:
            self.selected_class = int(event.source.selected_label)
            self.class_picked.emit(self.selected_class)

    def _on_plane_changed(self) -> None:
        session = self.session
        if session is not None and session.planes:
            self.areas_changed.emit()
            self.say_what_next()

    def _on_layer_removed(self, event: Any) -> None:
        layer = event.value
        if layer is self.runner.image:
            self.cancel("The image was removed, so the run was cancelled.")
        self.areas_changed.emit()

    def _name_of(self, label: int) -> str:
        if label == 0:
            return "background"
        return next((c.name for c in self.classes if c.id == label), f"label {label}")

    def _segmented(self) -> bool:
        session, plane = self.session, self.plane
        return bool(
            session and plane and plane in session.planes and session.planes[plane].segmented
        )

    def shut_down(self) -> None:
        """Cancel what runs and let go of the viewer; more than once is harmless."""
        if self._closed:
            return
        self._closed = True
        self.runner.cancel()
        self.viewer.layers.events.removed.disconnect(self._on_layer_removed)
        self.viewer.dims.events.current_step.disconnect(self._on_plane_changed)
        for session in self.sessions:
            for layer in session.label_layers():
                layer.events.paint.disconnect(self._on_paint)
                layer.events.set_data.disconnect(self._on_refresh)
                layer.events.selected_label.disconnect(self._on_label_selected)
        shared_worker().submit(Job(partial(_empty, self._pool)))


def _empty(pool: EnginePool) -> Steps[None]:
    """Give up the encodings on the thread that uses them."""
    pool.clear()
    yield Progress(1, 1, "Letting go")
