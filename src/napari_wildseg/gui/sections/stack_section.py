"""Stacks and movies: labels of the plane in view, carried to its neighbours."""

from typing import ClassVar

from napari_wildseg.gui.actions.propagate import Propagator
from napari_wildseg.gui.sections.section import Section


class StackSection(Section):
    """Carry labels to the next plane, or to all that follow."""

    title: ClassVar[str] = "Stack"
    about: ClassVar[str] = "Carry the labels of a corrected plane to its neighbours."
    page: ClassVar[str] = "large_images.md#stacks-and-movies"

    def build(self) -> None:
        """Make the controls and connect them."""
        propagator = Propagator(self.controller)
        self.previous = self.button(
            "carry_to_previous",
            "To previous",
            "Label the plane before like this one; its own corrections are kept.",
            lambda: propagator.start(-1),
        )
        self.next = self.button(
            "carry_to_next",
            "To next",
            "Label the next plane like this one; its own corrections are kept.",
            lambda: propagator.start(1),
        )
        self.to_first = self.button(
            "carry_to_first",
            "To all before",
            "Go on plane by plane to the first; Cancel stops in between.",
            lambda: propagator.start(-1, to_the_end=True),
        )
        self.to_last = self.button(
            "carry_to_last",
            "To all after",
            "Go on plane by plane to the last; Cancel stops in between.",
            lambda: propagator.start(1, to_the_end=True),
        )
        self.row(self.previous, self.next)
        self.row(self.to_first, self.to_last)
        self.controller.runner.busy.connect(self._busy)

    def _busy(self, busy: bool) -> None:
        for button in (self.previous, self.next, self.to_first, self.to_last):
            button.setEnabled(not busy)
