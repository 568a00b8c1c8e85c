"""The chosen image, its class list, its label layers and its corrections.

A workspace knows layers but no widget and no model; the controller adds the runs.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Image, Labels
from psygnal import Signal

from napari_wildseg.engine.errors import WildsegError
from napari_wildseg.gui import notices, preferences
from napari_wildseg.gui.annotation.autosave import Autosave
from napari_wildseg.gui.annotation.confirmations import Confirmations
from napari_wildseg.gui.annotation.decisions import label_values
from napari_wildseg.gui.annotation.left_over import LeftOver
from napari_wildseg.gui.annotation.session import LABELS, PSEUDO, ImageSession, SessionStore
from napari_wildseg.gui.layers import class_list as class_list
from napari_wildseg.gui.layers.display import Plane, channels_of, current_plane
from napari_wildseg.gui.layers.image_pixels import ImagePixels
from napari_wildseg.gui.layers.label_layers import LabelLayers
from napari_wildseg.gui.layers.label_pair import read_plane
from napari_wildseg.gui.layers.opened_labels import OpenedLabels
from napari_wildseg.gui.layers.selecting import select

NONE = -1
"""The selected class while none was picked; 0 is the background."""


class Workspace:
    """What one annotator works on in one viewer."""

    status = Signal(str)
    """A sentence: what happens, or what to do next."""
    warned = Signal(str)
    """A sentence for the state line, in warning colours."""
    classes_changed = Signal()
    areas_changed = Signal()
    class_picked = Signal(int)
    image_chosen = Signal()
    """Another image, or another model, was chosen elsewhere than in their boxes."""
    settings_restored = Signal()
    """Model, threshold and the like were changed by a project; controls show them."""

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self.settings = preferences.load()
        self.refine_at_once = bool(self.settings.refine_at_once)
        self.selected_class = NONE
        self.same_classes = False
        """Whether one class list is kept for all images, so that label values mean the same."""
        self.sessions = SessionStore()
        self.layers = LabelLayers(viewer, self.sessions)
        self.layers.edited.connect(self._on_edited)
        self.layers.label_selected.connect(self._on_label_selected)
        self.layers.history_moved.connect(self._on_history_moved)
        self.layers.message.connect(self.notify)
        self.layers.labels_restored.connect(self._on_labels_restored)
        self.autosave = Autosave(enabled=bool(self.settings.keep_corrections))
        self.layers.spread.connect(self.autosave.find_painted_planes)
        self.autosave.found.connect(self._on_found)
        self.pixels = ImagePixels(self)
        self.opened = OpenedLabels(self)
        self.confirmations = Confirmations(self)
        self.left_over = LeftOver(self)
        viewer.layers.events.inserted.connect(self._on_inserted)
        self._image: Image | None = None
        self._pending: tuple[Any, ...] = ()
        self._closed = False
        for image in [layer for layer in viewer.layers if isinstance(layer, Image)]:
            if (session := self.sessions.reclaim(image)) is not None:
                if not self.layers.resume(session) and session.claim is not None:
                    session.claim.renew()  # the records of a layer that is gone are offered
                self.pixels.watch(image)
                self.autosave.open(session, image)

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

    def in_view(self) -> tuple[ImageSession, Image, Plane] | None:
        """Return the chosen image with its session and the plane in view; None without one."""
        session, image, plane = self.session, self._image, self.plane
        if session is None or image is None or plane is None:
            return None
        return session, image, plane

    def choose_image(self, image: Image | None) -> None:
        """Work on another image."""
        if image is self._image:
            return
        before = self.classes
        if self.selected_class == 0:
            self.selected_class = NONE  # the next image must not start with the eraser
        self._image = image
        if image is None:
            self._pending = before
        elif (session := self.sessions.get(image)) is None:
            self._start_session(self.sessions.open(image, before), image)
        elif self.same_classes:
            self._share_classes(session, before)
        self.opened.track()
        self.classes_changed.emit()
        self.areas_changed.emit()
        self.show_next_step()

    def keep_classes(self, same: bool) -> None:
        """Keep one class list for all images from now on, or a list for each image."""
        self.same_classes = same
        if same:
            for session in self.sessions:
                if session is not self.session:
                    self._share_classes(session, self.classes)
            self.status.emit("One class list for all images: labels mean the same in every file.")
        else:
            self.status.emit("Each image has a class list of its own.")

    def _share_classes(self, session: ImageSession, classes: tuple[Any, ...]) -> None:
        """Give an image the classes in use; what its own pixels mean stays."""
        own = session.classes if session.tracked else ()
        session.classes, other = class_list.shared(classes, own)
        session.used_ids.update(c.id for c in session.classes)
        self.layers.apply_style(session)
        if other and session.image is not None:
            self.notify(
                f"{session.image.name} was labelled with other numbers for "
                f"{notices.join_names(list(other))}: it keeps them."
            )

    def _on_inserted(self, event: Any) -> None:
        if isinstance(event.value, Labels):
            self.opened.track()
            if self.opened.found() is event.value:
                self.show_next_step()

    def _start_session(self, session: ImageSession, image: Image) -> None:
        """Load what is known about a new image."""
        about = image.metadata.get("wildseg")
        if isinstance(about, dict) and not session.classes:
            try:
                suited = class_list.added((), str(about.get("classes", "")))
            except WildsegError:
                suited = ()
            session.suggestions = [(info.name, None) for info in suited]
        self.autosave.open(session, image)
        self.pixels.watch(image)

    def set_classes(self, classes: Iterable[Any]) -> None:
        """Replace the class list of the chosen image and style its layers."""
        session = self.session
        if session is None:
            self._pending = tuple(classes)
        else:
            rows = tuple(classes)
            ids = {info.id for info in rows}
            gone = {c.id: (row, c) for row, c in enumerate(session.classes) if c.id not in ids}
            kept = {number: at for number, at in session.removed.items() if number not in ids}
            session.classes, session.removed = rows, kept | gone
            session.used_ids.update(c.id for c in session.classes)
            self.layers.apply_style(session)
        self.classes_changed.emit()
        self.areas_changed.emit()

    def adopt(self, session: ImageSession, values: Iterable[int]) -> list[int]:
        """Add classes of the image's data set that were painted by number."""
        wanted = set(values)
        names = {info.name for info in session.classes}
        found = [c for c in session.offered if c.id in wanted and c.name not in names]
        if found and session is self.session:
            self.set_classes((*session.classes, *found))
        elif found:
            session.classes = (*session.classes, *found)
        return sorted(wanted - {info.id for info in found})

    def add_classes(self, text: str) -> bool:
        """Add classes as typed, for example ``"cat, cup of coffee=cup|mug"``."""
        session = self.session
        # A run that was asked for may still bring pixels of a class that was removed meanwhile.
        used = session.used_ids if session and (session.tracked or session.planes) else set()
        if self.same_classes:
            used = used.union(*(each.used_ids for each in self.sessions))
        try:
            new, known = class_list.split_known(self.classes, text)
            if new:
                self.set_classes(class_list.added(self.classes, text, used))
        except WildsegError as error:
            self.notify(str(error))
            return False
        if known:
            there = notices.join_names(known)
            names = notices.join_names([info.name for info in new])
            message = f"Added: {names}. In the table already: {there}."
            self.status.emit(message if new else f"In the table already: {there}.")
        else:
            self.show_next_step(added=True)
        return True

    def rename_class(self, class_id: int, text: str) -> bool:
        """Give a class another name or other prompts; its pixels stay."""
        try:
            self.set_classes(class_list.renamed(self.classes, class_id, text))
        except WildsegError as error:
            self.notify(str(error))
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
        left = tuple(c for c in self.classes if c.id != class_id)
        if session is not None:
            for kind, tracked in session.tracked.items():
                tracked.remove_label(class_id, 255 if kind == PSEUDO else 0)
                for plane in tracked.trackers:
                    self.autosave.note(session, plane)
            session.locked -= {class_id}
            for layer in session.label_layers():
                if layer.selected_label == class_id:  # or the next stroke would bring it back
                    layer.selected_label = left[0].id if left else 0
        if not left:
            self.selected_class = NONE
        self.set_classes(left)
        self.show_next_step()

    def show_class(self, class_id: int, visible: bool) -> None:
        """Draw a class or hide it."""
        session = self.session
        if session is not None:
            hidden = set(session.hidden)
            (hidden.discard if visible else hidden.add)(class_id)
            session.hidden = frozenset(hidden)
            self.layers.apply_style(session)

    def lock_class(self, class_id: int, locked: bool) -> None:
        """Lock a class, so that no run takes pixels from it or gives it any, or unlock it."""
        session = self.session
        if session is None:
            self.show_next_step()
            return
        changed = set(session.locked)
        (changed.add if locked else changed.discard)(class_id)
        session.locked = frozenset(changed)
        self.classes_changed.emit()
        name = self.name_of(class_id)
        self.status.emit(
            f"{name} is locked: no run changes where it is; painting still does."
            if locked
            else f"{name} is no longer locked."
        )

    def pick_class(self, class_id: int) -> None:
        """Make a class the one to paint with."""
        self.selected_class = class_id
        session = self.session
        layer = None if session is None else self.layers.to_paint(session)
        if layer is None:
            return
        select(self.viewer, layer)
        layer.selected_label = class_id
        layer.mode = "paint"

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
        step = max(1, int(np.sqrt(pixels.size / 1_000_000)))
        counts = np.bincount(label_values(pixels[::step, ::step]).ravel())
        return {value: counts[value] / counts.sum() for value in np.flatnonzero(counts).tolist()}

    def show_next_step(self, *, added: bool = False) -> None:
        """Show the next step in the state line."""
        if self._image is None:
            message = "Open an image first (File > Open), or the sample photograph above."
        elif not self.classes:
            message = "Type what is in the image, for example: cup of coffee, spoon, table."
        elif not self.is_segmented():
            message = "Ready: press Auto-segment."
        elif added:
            message = "Added: press Auto-segment to look for it, or paint it and Refine."
        else:
            message = "Pick a class and paint what is wrong, then press Refine."
        self.status.emit(message + self._channel_sentence() + self._prior_sentence())

    def _prior_sentence(self) -> str:
        """Say which labels, if any, were opened and can be refined."""
        layer = None if self.is_segmented() else self.opened.found()
        return "" if layer is None else f" Refine starts from the labels in {layer.name}."

    def _channel_sentence(self) -> str:
        """Say which channels are looked at as one picture, if the image is one of several."""
        image = self._image
        channels = [] if image is None else channels_of(image, self.viewer.layers)
        if len(channels) < 2:
            return ""
        names = notices.join_names([channel.name for channel in channels])
        return f" Channels {names} are taken together."

    def apply_visibility(self) -> None:
        """Show the pseudo-labels only while they are what is worked on."""
        if (session := self.session) is not None:
            self.layers.apply_visibility(session, refined=self.refine_at_once)

    # ------------------------------------------------------------------ internal

    def name_of(self, label: int) -> str:
        """Return what a label value is called."""
        if label == 0:
            return "background"
        return next((c.name for c in self.classes if c.id == label), f"label {label}")

    def is_segmented(self) -> bool:
        """Whether the plane in view has labels to refine."""
        session, plane = self.session, self.plane
        return bool(
            session
            and plane
            and plane in session.planes
            and (session.planes[plane].segmented or session.planes[plane].prior is not None)
        )

    def _on_edited(self, session: ImageSession, planes: Iterable[Plane]) -> None:
        for plane in planes:
            self.autosave.note(session, plane)
        self.areas_changed.emit()

    def _on_found(self, session: ImageSession) -> None:
        if session is self.session:
            self.classes_changed.emit()

    def _on_label_selected(self, session: ImageSession, label: int) -> None:
        if session is self.session:
            self.selected_class = label
            self.class_picked.emit(label)

    def _on_history_moved(self, session: ImageSession, direction: str) -> None:
        if session is not self.session:
            return
        if direction == "undo":
            message = (
                "Undone: the labels are as before that result. Paint what is wrong, then press "
                "Refine; Ctrl+Shift+Z brings the result back."
            )
        else:
            message = "Redone: the result is back. Paint what is wrong, then press Refine."
        self.status.emit(message)

    def _on_labels_restored(self, session: ImageSession, labels: Iterable[int]) -> None:
        """Restore the rows of removed classes after an undo restored their pixels."""
        found = sorted(session.removed.pop(label) for label in labels)
        rows = list(session.classes)
        for row, info in found:
            rows.insert(row, info)
        session.classes = tuple(rows)
        if session is self.session:
            self.set_classes(rows)
        names = notices.join_names([info.name for _, info in found])
        message = "Undone: {names} [is|are] in the table again, with [its|their] pixels."
        self.status.emit(notices.pluralise(len(found), message, names=names))

    def notify(self, message: str) -> None:
        """Show a sentence in the state line and as a napari notification."""
        self.status.emit(message)
        notices.warn(message)

    def shut_down(self) -> None:
        """Disconnect from the viewer's layers; may be called again."""
        self._closed = True
        self.viewer.layers.events.inserted.disconnect(self._on_inserted)
        for session in self.sessions:
            session.settle()
        self.pixels.close()
        self.layers.close()
        for session in self.sessions:
            self.autosave.close(session)
        self.sessions.keep_for_next_widget()
