"""The two label layers of each image in a viewer: created, found, styled and observed."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Image, Labels, Layer
from numpy.typing import NDArray
from psygnal import Signal

from napari_wildseg.gui.annotation.brush_strokes import brushed
from napari_wildseg.gui.annotation.decisions import UNLABELLED, Plan, label_values, labels_in
from napari_wildseg.gui.annotation.provenance import KEY, Provenance
from napari_wildseg.gui.annotation.session import LABELS, PSEUDO, ImageSession, SessionStore
from napari_wildseg.gui.annotation.tracked_layer import TrackedLayer
from napari_wildseg.gui.layers.display import Plane, current_plane, level_shape
from napari_wildseg.gui.layers.label_pair import (
    LABELS_SUFFIX,
    PSEUDO_SUFFIX,
    align,
    apply_style,
    make_labels,
    read_plane,
    set_visible,
)
from napari_wildseg.gui.layers.layer_events import PLACE_EVENTS, Callbacks, forget, listen
from napari_wildseg.gui.layers.selecting import add_beside, no_status, select

SUFFIX = {LABELS: LABELS_SUFFIX, PSEUDO: PSEUDO_SUFFIX}
FILL = {LABELS: 0, PSEUDO: 0}
"""What a new label layer holds. Zeros take no memory before something else is written."""

OUTLINE = 2
"""Width of outlines in pixels of the image."""

HELD_KEY = "Q"
"""Paints background while it is held; free in napari."""

SCANNED = 1_000_000_000
"""Bytes of a label layer that is looked through after each stroke, in the background."""


class LabelLayers:
    """Keeps the label layers of the sessions in a viewer."""

    edited = Signal(ImageSession, object)
    """The annotator changed pixels (a stroke, an undo, a redo); the planes where that may be."""
    spread = Signal(ImageSession, object, object)
    """Pixels may have changed in any plane: the tracked layer, and a plane like them."""
    history_moved = Signal(ImageSession, str)
    """The annotator went past an automatic result in the history: ``"undo"`` or ``"redo"``."""
    message = Signal(str)
    """A sentence for the annotator."""
    labels_restored = Signal(ImageSession, object)
    """An undo or a redo brought back pixels of classes that were removed; their label values."""
    label_selected = Signal(ImageSession, int)

    def __init__(self, viewer: Viewer, sessions: SessionStore) -> None:
        self._viewer = viewer
        self._sessions = sessions
        self.contour = 0
        """Width of outlines in pixels, 0 for filled areas; see `napari.layers.Labels.contour`."""

    def is_in_viewer(self, layer: Layer | None) -> bool:
        """Whether a layer is in the viewer."""
        return layer is not None and layer in self._viewer.layers

    def tracked(self, session: ImageSession, image: Image, kind: str) -> TrackedLayer:
        """Return one of the two layers of an image, made anew if it was deleted."""
        tracked = session.tracked.get(kind)
        if tracked is not None and self.is_in_viewer(tracked.layer):
            return tracked
        layer = self._new(session, image, kind)
        tracked = self._track(session, kind, layer)
        self._prepare(layer)
        with no_status(self._viewer):
            self._viewer.add_layer(layer)
        self._listen(tracked, layer)
        return tracked

    def make(self, session: ImageSession, image: Image, kind: str, plan: Plan) -> Labels:
        """Return one of the two layers of an image with a result in it, for `add`."""
        return self._new(session, image, kind, plan.fresh)

    def add(
        self,
        session: ImageSession,
        image: Image,
        kind: str,
        layer: Labels,
        plane: Plane,
        plan: Plan,
        *,
        visible: bool,
    ) -> None:
        """Add one of the two layers of an image that is not there yet."""
        tracked = self._track(session, kind, layer)
        # Before napari draws it, so that no undo step is needed.
        tracked.carry_out(plane, plan, held=layer.data is plan.fresh)
        self._prepare(layer, visible=visible)
        add_beside(self._viewer, layer)
        self._listen(tracked, layer)

    def apply_style(self, session: ImageSession) -> None:
        """Apply names and colours of the classes to the layers of an image."""
        for tracked in session.tracked.values():
            if tracked.layer is not None:
                with tracked.ours():  # setting colours refreshes the layer; that is no undo
                    apply_style(tracked.layer, session.classes, session.hidden)

    def apply_visibility(self, session: ImageSession, *, refined: bool) -> None:
        """Show the refined labels, and the pseudo-labels only where they are worked on."""
        labels, pseudo = session.layer(LABELS), session.layer(PSEUDO)
        if pseudo is not None:
            set_visible(pseudo, not (refined and self.is_in_viewer(labels)))
        if labels is not None:
            set_visible(labels, True)

    def to_paint(self, session: ImageSession) -> Labels | None:
        """Return the layer the annotator works in: the active one, else the topmost in view."""
        active = self._viewer.layers.selection.active
        ours = [layer for layer in session.label_layers() if self.is_in_viewer(layer)]
        if active in ours:
            return active
        visible = [layer for layer in ours if layer.visible]
        return (visible or ours or [None])[-1]

    def activate(self, session: ImageSession, label: int) -> None:
        """Select the layer to paint in, and a label of it."""
        layer = self.to_paint(session)
        if layer is None:
            return
        select(self._viewer, layer)
        ids = [info.id for info in session.classes]
        if ids:
            layer.selected_label = label if label in (0, *ids) else ids[0]

    @staticmethod
    def _new(
        session: ImageSession, image: Image, kind: str, data: NDArray[np.uint8] | None = None
    ) -> Labels:
        return make_labels(
            image, image.name + SUFFIX[kind], session.classes, hidden=session.hidden, data=data
        )

    def adopt(self, session: ImageSession, layer: Labels, tracked: TrackedLayer) -> None:
        """Use an existing layer as the labels of an image."""
        session.tracked[LABELS] = tracked
        self._follow(session)
        provenance = layer.metadata[KEY] = Provenance(session, tracked)
        provenance.array = layer.data
        self._listen(tracked, layer)
        if np.iinfo(layer.data.dtype).max < UNLABELLED:
            layer.data = layer.data.astype(np.int16)

    def _follow(self, session: ImageSession) -> None:
        image = session.image
        if image is None or session.followed:
            return
        session.followed = True
        listen(image, dict.fromkeys(PLACE_EVENTS, self._on_image_moved))

    def _track(self, session: ImageSession, kind: str, layer: Labels) -> TrackedLayer:
        self._follow(session)
        tracked = session.tracked[kind] = TrackedLayer(layer, FILL[kind])
        provenance = layer.metadata[KEY] = Provenance(session, tracked)
        provenance.array = layer.data
        return tracked

    def show_outlines(self, only: bool) -> None:
        """Show only the outlines of the labels, or filled areas, in every label layer."""
        self.contour = OUTLINE if only else 0
        for session in self._sessions:
            for tracked in session.tracked.values():
                if tracked.layer is not None:
                    with tracked.ours():  # drawing it another way is no edit
                        tracked.layer.contour = self.contour

    def _prepare(self, layer: Labels, *, visible: bool = True) -> None:
        layer.contour = self.contour
        # napari slices no hidden layer, and its thumbnail would show nothing.
        layer.refresh()
        set_visible(layer, visible)

    def _listen(self, tracked: TrackedLayer, layer: Labels) -> None:
        dims = self._viewer.dims
        tracked.is_same_view((dims.point, dims.order, dims.ndisplay, layer.visible))
        layer.bind_key(HELD_KEY, self._while_held, overwrite=True)
        listen(layer, self._callbacks(), self._on_drag)

    def _callbacks(self) -> Callbacks:
        return {
            "paint": self._on_paint,
            "set_data": self._on_refresh,
            "selected_label": self._on_label_selected,
            "data": self._on_data,
        }

    @staticmethod
    def _while_held(layer: Labels) -> Iterator[None]:
        """Paint background until the key is released."""
        label, mode = layer.selected_label, layer.mode
        layer.selected_label, layer.mode = 0, "paint"
        yield
        layer.selected_label, layer.mode = label, mode

    def resume(self, session: ImageSession) -> bool:
        """Go on with the label layers that a closed widget left in the viewer."""
        left = dict(session.tracked)
        session.tracked = {kind: t for kind, t in left.items() if self.is_in_viewer(t.layer)}
        for tracked in session.tracked.values():
            assert tracked.layer is not None
            self._follow(session)
            self._listen(tracked, tracked.layer)
            # Planes may have been painted meanwhile.
            for plane in [p for p in self._in_view(session) if tracked.layer.ndim > 2]:
                self._spread(session, tracked, [plane])
        return len(left) == len(session.tracked)

    def close(self) -> None:
        """Disconnect from the layers."""
        for session in self._sessions:
            if session.image is not None and session.followed:
                session.followed = False
                forget(session.image, dict.fromkeys(PLACE_EVENTS, self._on_image_moved))
            for layer in session.label_layers():
                forget(layer, self._callbacks(), self._on_drag)

    def _on_image_moved(self, event: Any) -> None:
        session = self._sessions.get(event.source)
        for tracked in () if session is None else session.tracked.values():
            if tracked.layer is not None:
                with tracked.ours():
                    align(tracked.layer, event.source)

    def _on_drag(self, layer: Labels, event: Any) -> Iterator[None]:
        """Record the brush path and confirm the pixels under it that are right already."""
        owner = self._sessions.owner_of(layer)
        if owner is not None:
            owner[1].settle()
        mode, dims = str(layer.mode), self._viewer.dims
        session = None if owner is None else owner[0]
        if owner is None or session is None or session.image is None or dims.ndisplay != 2:
            return
        # The right button of the brush encircles, and with Alt held napari sizes the brush.
        encircles = mode == "paint" and event.button == 2
        if mode not in ("paint", "erase") or encircles or layer.cursor == "circle_frozen":
            return
        tracked = owner[1]
        label = int(layer.selected_label) if mode == "paint" else 0
        path = [layer.world_to_data(event.position)]
        tracked.in_stroke = True
        try:
            yield
            while event.type == "mouse_move":
                path.append(layer.world_to_data(event.position))
                yield
        finally:
            tracked.in_stroke = False
        if layer.mouse_pan:  # the canvas was moved while an outline was being drawn
            return
        offset = len(dims.order) - layer.ndim
        order = [axis - offset for axis in dims.order if axis >= offset]
        axes = order[-layer.n_edit_dimensions :]
        box, covered = brushed(layer.data.shape, path, layer.brush_size, layer.scale, axes)
        planes = self._confirm(tracked, order[-2:], box, covered, label)
        if planes:
            tracked.edits += 1
            self.edited.emit(session, planes)

    @staticmethod
    def _confirm(
        tracked: TrackedLayer,
        displayed: Sequence[int],
        box: tuple[slice, ...],
        covered: NDArray[np.bool_],
        label: int,
    ) -> list[Plane]:
        """Confirm covered pixels that hold the label; return their planes."""
        layer = tracked.layer
        if layer is None or not covered.size:
            return []
        inside = tuple(box[axis] for axis in sorted(displayed))
        across = [(None,) if a in displayed else range(b.start, b.stop) for a, b in enumerate(box)]
        found = []
        for index in itertools.product(*across):
            plane = Plane(index)
            data = read_plane(layer, plane)
            region = np.zeros(data.shape, bool)
            here = (0 if i is None else i - b.start for i, b in zip(index, box, strict=True))
            part = Plane(tuple(None if i is None else n for i, n in zip(index, here, strict=True)))
            region[inside] = covered[part.slices] & (data[inside] == label)
            if region.any() and tracked.tracker(plane).confirm(region, data):
                found.append(plane)
        return found

    def _on_paint(self, event: Any) -> None:
        owner = self._sessions.owner_of(event.source)
        if owner is not None and not owner[1].writing:
            session, tracked = owner
            tracked.note_paint()
            layer, here = event.source, self._in_view(session)
            flat = layer.n_edit_dimensions <= 2 and self._viewer.dims.ndisplay == 2
            flat = flat and all(tracked.follow(plane) for plane in here)
            self.edited.emit(session, tracked.painted_in(here if flat else None))
            # A script may paint in any plane, and so does a brush of three dimensions.
            if layer.ndim > 2 and (not flat or layer.data.nbytes < SCANNED):
                self._spread(session, tracked, here)

    def _on_refresh(self, event: Any) -> None:
        layer = event.source
        owner = self._sessions.owner_of(layer)
        if owner is not None and not owner[1].writing:
            session, tracked = owner
            # napari has no event of an undo: it only refreshes the layer. So do a slider that moves
            # and an eye that opens, which must not have every painted plane compared.
            dims = self._viewer.dims
            same_view = tracked.is_same_view((dims.point, dims.order, dims.ndisplay, layer.visible))
            moved, direction = tracked.note_refresh(edited=same_view)
            if direction:
                self.history_moved.emit(session, direction)
            here = self._in_view(session)
            for plane in here:
                tracked.follow(plane)
            planes = {*moved, *(tracked.painted if same_view else ()), *here}
            if tracked.replaced():
                planes.update(tracked.trackers)
                self._spread(session, tracked, here)
            planes = {plane for plane in planes if plane in tracked.trackers}
            if moved and session.removed:
                seen = [labels_in(label_values(read_plane(layer, p))) for p in planes]
                if back := set().union(*seen) & set(session.removed):
                    self.labels_restored.emit(session, back)
            self.edited.emit(session, list(planes))

    def _on_data(self, event: Any) -> None:
        """Notice that a label layer holds another array: of another type, or another shape."""
        layer = event.source
        owner = self._sessions.owner_of(layer)
        if owner is None:
            return
        session, tracked = owner
        provenance, image = layer.metadata.get(KEY), session.image
        old = getattr(provenance, "array", None)
        if provenance is not None:
            provenance.array = layer.data
        if image is not None and tuple(layer.data.shape) != level_shape(image):
            self._set_aside(session, tracked, layer, old)
        elif np.iinfo(layer.data.dtype).max < UNLABELLED:
            wider = layer.data.astype(np.int16)
            if session.layer(PSEUDO) is layer:
                wider[wider == -1] = UNLABELLED  # what became of it in eight bits with a sign
            name = layer.data.dtype.name
            layer.data = wider
            self.message.emit(
                f"{layer.name} holds 16 bits a pixel now: {name} has no room for every label."
            )

    def _set_aside(
        self, session: ImageSession, tracked: TrackedLayer, layer: Labels, old: Any
    ) -> None:
        """Release a label layer that no longer fits its image; its decisions are offered."""
        decided = {p: t.decided(np.asarray(old[p.slices])) for p, t in tracked.trackers.items()}
        session.tracked = {k: t for k, t in session.tracked.items() if t is not tracked}
        kept = session.keep_for_restore(decided)
        offer = f" {kept:,} corrected pixels of before are kept: see Restore above." if kept else ""
        self.message.emit(
            f"{layer.name} is not of its image's size any more, so it is left as it is, and "
            f"Auto-segment makes a new one.{offer}"
        )
        self.edited.emit(session, [])

    def _spread(self, session: ImageSession, tracked: TrackedLayer, here: list[Plane]) -> None:
        tracked.unexplored = True
        for plane in here:
            self.spread.emit(session, tracked, next(iter(tracked.trackers), plane))

    def _in_view(self, session: ImageSession) -> list[Plane]:
        image, dims = session.image, self._viewer.dims
        return [] if image is None else [current_plane(image, dims.point, dims.order)]

    def _on_label_selected(self, event: Any) -> None:
        owner = self._sessions.owner_of(event.source)
        if owner is not None:
            self.label_selected.emit(owner[0], int(event.source.selected_label))
