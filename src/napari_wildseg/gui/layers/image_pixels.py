"""What is done when the pixels of an image are replaced, for example cropped, by a script."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_wildseg.gui import notices
from napari_wildseg.gui.annotation.decisions import UNLABELLED
from napari_wildseg.gui.layers.display import level_array, level_shape
from napari_wildseg.gui.layers.replaced_pixels import carried, place_in

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_wildseg.gui.annotation.session import ImageSession
    from napari_wildseg.gui.annotation.workspace import Workspace


class ImagePixels:
    """Watches the arrays of the images that are worked on."""

    replaced = Signal(object)
    """An image layer holds another array; sent before anything is done about it."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def watch(self, image: Image) -> None:
        """Take note of what becomes of an image's array."""
        image.events.data.connect(self._on_data)

    def close(self) -> None:
        """Stop watching."""
        for session in self._workspace.sessions:
            if session.image is not None:
                session.image.events.data.disconnect(self._on_data)

    def _on_data(self, event: Any) -> None:
        workspace, image = self._workspace, event.source
        session = workspace.sessions.get(image)
        if session is None:
            return
        self.replaced.emit(image)
        old, session.array = session.array, level_array(image)
        if session.shape == level_shape(image):
            session.forget_encodings()
            if session.tracked:
                workspace.status.emit(
                    f"The pixels of {image.name} were replaced: the next run looks at the new "
                    "ones. Labels and corrections are as before."
                )
        elif session.tracked:
            self._start_anew(session, image, old)
        else:
            session.shape = level_shape(image)
            session.planes.clear()
            workspace.areas_changed.emit()

    def _start_anew(self, session: ImageSession, image: Image, old: Any) -> None:
        """Set labels of another shape aside, and offer the corrections that still fit."""
        workspace, shape = self._workspace, level_shape(image)
        session.settle()
        workspace.autosave.close(session)
        decided = session.all_decided()
        before, now = (" x ".join(map(str, s)) for s in (session.shape, shape))
        names = []
        for layer in session.label_layers():
            layer.name = f"{layer.name} ({before})"
            names.append(layer.name)
        place = place_in(old, session.array, colour=bool(image.rgb)) if decided else None
        new = workspace.sessions.start_anew(image)
        workspace.autosave.open(new, image)
        fit = 0 if place is None else new.offer_again(carried(decided, place, shape))
        total = sum(int(np.count_nonzero(d != UNLABELLED)) for d in decided.values())
        offer = ""
        if fit:
            offer = f" Of {total:,} corrected pixels, {fit:,} still fit: see Restore above."
        elif total:
            offer = f" Of {total:,} corrected pixels, none still fits."
        workspace.classes_changed.emit()
        workspace.areas_changed.emit()
        workspace.notify(
            f"{image.name} is {now} now, not {before}: its labels do not fit any more and are left "
            f"as they are in {notices.listed(names)}. Press Auto-segment to start anew.{offer}"
        )
