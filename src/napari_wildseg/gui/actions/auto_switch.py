"""The auto switch: suggested names are added before a run; those without pixels are removed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from napari_wildseg.engine.classes import fold
from napari_wildseg.engine.maps.thresholds import PRESENT_SCORE
from napari_wildseg.gui.controls.as_typed import quoted

if TYPE_CHECKING:
    from napari_wildseg.gui.actions.controller import Controller
    from napari_wildseg.gui.annotation.session import ImageSession
    from napari_wildseg.gui.layers.display import Plane
    from napari_wildseg.process.messages import Suggested


class AutoNames:
    """Adds suggested names before a run, and removes those that got no pixels."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self.enabled = False
        self._added: dict[int, str] = {}

    def start(self, then: Callable[[], None]) -> bool:
        """Suggest names first if the switch is on."""
        self._added = {}
        return self.enabled and self._controller.find_names(partial(self._on_suggested, then))

    def _on_suggested(
        self, then: Callable[[], None], session: ImageSession, plane: Plane, found: Suggested
    ) -> None:
        controller, names = self._controller, found.names
        controller.set_suggestions(session, plane, found)
        if controller.session is not session:
            return
        known = {fold(info.name) for info in controller.classes}
        sure = [name for name, score in names if score >= PRESENT_SCORE]
        if not sure and not known:
            sure = [name for name, _ in names[:1]]
        new = [name for name in sure if fold(name) not in known]
        before = {info.id for info in controller.classes}
        if new and controller.add_classes(", ".join(map(quoted, new))):
            self._added = {c.id: c.name for c in controller.classes if c.id not in before}
        if controller.classes:
            then()

    def finish(self, there: set[int], session: ImageSession) -> str:
        """Remove the names that were added for this run and got no pixels."""
        added, self._added = self._added, {}
        if not added or self._controller.session is not session:
            return ""
        gone = {number: name for number, name in added.items() if number not in there}
        if len(gone) == len(self._controller.classes):
            return ""  # an empty table would leave nothing to correct
        if not gone:
            return ""
        self._controller.set_classes(c for c in self._controller.classes if c.id not in gone)
        return f"Dropped, since no pixels were found: {', '.join(gone.values())}."
