"""Confirming labels, and releasing corrections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Labels

from napari_wildseg.gui import notices
from napari_wildseg.gui.annotation.decisions import region_at
from napari_wildseg.gui.annotation.session import ImageSession
from napari_wildseg.gui.annotation.tracked_layer import TrackedLayer
from napari_wildseg.gui.layers.display import Plane
from napari_wildseg.gui.layers.label_pair import read_plane

if TYPE_CHECKING:
    from napari_wildseg.gui.annotation.workspace import Workspace


class Confirmations:
    """Marks pixels in view as decided, or releases all decisions in view."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def confirm_class(self) -> int:
        """Keep the pixels of the selected class as they are."""
        found = self._paint_target()
        if found is None:
            return 0
        _, tracked, layer, plane = found
        label = int(layer.selected_label)
        return self._confirm(tracked, layer, plane, read_plane(layer, plane) == label, label)

    def confirm_at_cursor(self) -> int:
        """Keep the connected region under the cursor; returns how many pixels that adds."""
        workspace = self._workspace
        found = self._paint_target()
        if found is None:
            return 0
        _, tracked, layer, plane = found
        position = layer.world_to_data(workspace.viewer.cursor.position)
        spot = [round(float(p)) for p, i in zip(position, plane.index, strict=True) if i is None]
        data = read_plane(layer, plane)
        if not all(0 <= s < n for s, n in zip(spot, data.shape, strict=True)):
            workspace.notify("Move the mouse over the region that is right, then press Alt+K.")
            return 0
        label = int(data[tuple(spot)])
        return self._confirm(tracked, layer, plane, region_at(data, (spot[0], spot[1])), label)

    def release(self) -> None:
        """Let the next Refine decide everything in this plane again."""
        workspace = self._workspace
        session, plane = workspace.session, workspace.plane
        if session is None or plane is None:
            return
        session.settle()
        for tracked in session.tracked.values():
            layer = tracked.layer
            if layer is not None and plane in tracked.trackers:
                tracked.trackers[plane].release(read_plane(layer, plane))
                tracked.edits += 1
        workspace.autosave.note(session, plane)
        workspace.status.emit("Corrections released: the next Refine decides every pixel again.")

    def _confirm(
        self, tracked: TrackedLayer, layer: Labels, plane: Plane, region: Any, label: int
    ) -> int:
        workspace = self._workspace
        name = workspace.name_of(label)
        if label == 255:
            workspace.notify("Grey pixels belong to no class yet: paint them first.")
            return 0
        if not 0 <= label < 255:
            workspace.notify(
                f"{label} is no label of a class: repaint it with a label of the table."
            )
            return 0
        count = tracked.tracker(plane).confirm(region, read_plane(layer, plane))
        tracked.edits += bool(count)
        session = workspace.session
        if session is not None:
            workspace.autosave.note(session, plane)
        if count:
            text = "{n} [pixel of {name} stays as it is: Refine leaves it|pixels of {name} stay as "
            text += "they are: Refine leaves them] alone."
            workspace.status.emit(notices.pluralise(count, text, name=name))
        elif region.any():
            workspace.status.emit(f"Every pixel of {name} stays as it is already.")
        else:
            workspace.status.emit(f"There is no {name} here to keep.")
        workspace.areas_changed.emit()
        return count

    def _paint_target(self) -> tuple[ImageSession, TrackedLayer, Labels, Plane] | None:
        workspace = self._workspace
        session, plane = workspace.session, workspace.plane
        layer = None if session is None else workspace.layers.to_paint(session)
        owner = None if layer is None else workspace.sessions.owner_of(layer)
        if owner is None or layer is None or plane is None:
            workspace.notify("There is nothing to keep yet: press Auto-segment first.")
            return None
        owner[1].settle()
        return (*owner, layer, plane)
