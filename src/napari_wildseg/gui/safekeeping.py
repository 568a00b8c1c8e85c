"""Keeps the corrections of the open images safe on disk, and finds those of earlier sessions."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from napari_wildseg.gui.decisions import as_corrections
from napari_wildseg.gui.display import Plane, level_shape
from napari_wildseg.gui.recovery import RecoveryStore, image_key

if TYPE_CHECKING:
    import numpy as np
    from napari.layers import Image
    from numpy.typing import NDArray

    from napari_wildseg.gui.decisions import Standings
    from napari_wildseg.gui.session import ImageSession


class Safekeeping:
    """Writes what was painted since the last time.

    Parameters
    ----------
    enabled : bool
        The annotator's preference; if not, nothing is written or found.
    """

    def __init__(self, *, enabled: bool = True) -> None:
        self.store = RecoveryStore() if enabled else None
        self._unsaved: set[tuple[ImageSession, Plane]] = set()
        if self.store is not None:
            self.store.prune()

    def open(self, session: ImageSession, image: Image) -> None:
        """Look whether an earlier session left corrections for an image."""
        if self.store is not None:
            session.recovery_key = image_key(image)
            session.left_over = self.store.find(session.recovery_key, level_shape(image))

    def note(self, session: ImageSession, plane: Plane) -> None:
        """Take note that corrections may have changed."""
        self._unsaved.add((session, plane))

    def write(self) -> None:
        """Write what was noted, in the background."""
        unsaved, self._unsaved = self._unsaved, set()
        if self.store is None:
            return
        for session, plane in unsaved:
            image = session.image
            if image is None or not session.recovery_key:
                continue
            find = partial(_corrections, session.standings(plane))
            self.store.save(session.recovery_key, plane, find, session.classes)

    def forget(self, session: ImageSession, plane: Plane) -> None:
        """Take note that the labels of a plane are in a file of the annotator's."""
        self._unsaved.discard((session, plane))
        if self.store is not None and session.recovery_key:
            self.store.forget(session.recovery_key, plane)

    def discard(self, session: ImageSession) -> None:
        """Remove what an earlier session left for an image."""
        if self.store is not None:
            self.store.discard(session.left_over)
        session.left_over = []


def _corrections(standings: Standings) -> NDArray[np.int16] | None:
    """Look through a plane; on the writing thread."""
    return as_corrections(standings.decided())
