"""Corrections that an earlier session left, and those of deleted layers: offered again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wildseg.gui import notices
from napari_wildseg.gui.annotation.decisions import UNLABELLED, from_corrections, merge
from napari_wildseg.gui.annotation.session import LABELS, ImageSession
from napari_wildseg.gui.annotation.tracked_layer import TrackedLayer
from napari_wildseg.gui.layers import class_list as class_list
from napari_wildseg.gui.layers.display import Plane

if TYPE_CHECKING:
    from napari_wildseg.gui.annotation.workspace import Workspace


class LeftOver:
    """The corrections that are offered for the chosen image."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def restore(self) -> None:
        """Paint the corrections that an earlier session left for the chosen image."""
        workspace = self._workspace
        session, image = workspace.session, workspace.image
        if session is None or image is None:
            return
        restored: dict[Plane, Any] = {}
        # The later ones win, and those of the labels over those of the pseudo-labels.
        of_labels = [saved for saved in session.left_over if not saved.objects]
        for saved in sorted(of_labels, key=lambda s: (not s.pseudo, s.saved_at)):
            theirs = class_list.with_nameless(saved.classes, saved.corrections)
            here, table = class_list.matched(session.classes, theirs, session.used_ids)
            workspace.set_classes(here)
            decided = from_corrections(table[saved.corrections + 1])
            restored[saved.plane] = merge(restored.get(saved.plane), decided)
        count = 0
        for plane, decided in restored.items():
            tracked = workspace.layers.tracked(session, image, LABELS)
            tracker = tracked.tracker(plane)
            if (newer := tracked.decided(plane)) is not None:
                decided[newer != UNLABELLED] = UNLABELLED
            tracker.restore(decided)
            tracked.write(plane, tracker.baseline)
            count += int((decided != UNLABELLED).sum())
        of_objects = [saved for saved in session.left_over if saved.objects]
        for saved in sorted(of_objects, key=lambda s: -s.saved_at):  # the later ones win
            strokes = saved.corrections.astype(np.int32)
            session.objects.plane(saved.plane, strokes.shape).restore(strokes)
        workspace.autosave.restored(session)
        workspace.layers.activate(session, workspace.selected_class)
        workspace.classes_changed.emit()
        workspace.areas_changed.emit()
        sentences = []
        if count or not of_objects:
            sentences += [notices.pluralise(count, "{n} [pixel is|pixels are] restored.")]
        if of_objects:
            sentences += ["Corrections of objects are restored."]
        if workspace.is_segmented() and of_objects:
            sentences += ["Press Split into objects to go on."]
        else:
            sentences += ["Press Auto-segment to go on."]
        workspace.status.emit(" ".join(sentences))

    def discard(self) -> None:
        """Throw away what an earlier session left for the chosen image."""
        workspace = self._workspace
        if (session := workspace.session) is not None:
            workspace.autosave.discard(session)
        workspace.classes_changed.emit()
        workspace.show_next_step()

    def keep_deleted(self, session: ImageSession, tracked: TrackedLayer) -> bool:
        """Keep the decisions of a label layer that was deleted, to be offered again."""
        kind = next(kind for kind, each in session.tracked.items() if each is tracked)
        return self._workspace.autosave.deleted(session, kind)
