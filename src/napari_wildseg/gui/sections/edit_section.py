"""What to do with corrections: refine with them, confirm what is right, release them."""

from collections.abc import Iterable

from qtpy.QtGui import QAction

from napari_wildseg.gui.sections.section import Section

REFINE_KEY = "Alt+R"
NEAR_KEY = "Alt+N"
CONFIRM_KEY = "Alt+K"
CHANGES_KEY = "Alt+D"
"""Free in napari, as `AUTO_SEGMENT_KEY` is."""


class EditSection(Section):
    """Refine, confirm, and the menu of everything less common."""

    def build(self) -> None:
        """Make the controls and connect them."""
        controller = self.controller
        self.refine = self.button(
            "refine",
            "Refine",
            f"Redo the labels from what you painted ({REFINE_KEY}): one dab on a missing ear, for\n"
            "example, brings the whole ear. Every painted pixel is kept; Ctrl+Z undoes.",
            controller.refine,
        )
        self.shortcut(REFINE_KEY, controller.refine)
        distance = controller.settings.near_distance
        self.near_strokes = self.button(
            "near_strokes",
            "Near strokes",
            f"Refine, but change nothing farther than {distance} pixels from what you painted\n"
            f"since the last result ({NEAR_KEY}), for example to mend one corner of a good mask.\n"
            "The distance is set in the preferences.",
            controller.refine_near,
        )
        self.shortcut(NEAR_KEY, controller.refine_near)
        self.confirm_region = self.button(
            "confirm_region",
            "Keep as it is",
            "Tell Refine that the selected class is right where it is, for example a cat whose\n"
            f"outline fits. {CONFIRM_KEY} does so for the region under the mouse cursor only.",
            controller.confirmations.confirm_class,
        )
        self.shortcut(CONFIRM_KEY, controller.confirmations.confirm_at_cursor)

        self.more, self.menu = self.menu_button(
            "more",
            "More: where the model sees a class, its colour, outlines, releasing corrections.",
        )
        self.more.setAccessibleName("More actions")
        self.menu_action(
            "confirm_at_cursor",
            f"Keep the region under the cursor ({CONFIRM_KEY})",
            "Keep the connected region under the mouse cursor as it is.",
            controller.confirmations.confirm_at_cursor,
        )
        self.menu_action(
            "release_corrections",
            "Release all corrections in view",
            "Let the next Refine decide every pixel again.",
            controller.confirmations.release,
        )
        outlines = self.menu_action(
            "outlines",
            "Outlines only",
            "Draw the outlines of the labels and leave the image free inside them.",
            lambda: controller.layers.show_outlines(outlines.isChecked()),
        )
        outlines.setCheckable(True)
        self.show_changes = self.button(
            "show_changes",
            "Show changes",
            f"Put what the last Refine changed over the image ({CHANGES_KEY}), in the colours of "
            "the\nnew classes, until the next action.",
            controller.shown_changes.toggle,
        )
        self.shortcut(CHANGES_KEY, controller.shown_changes.toggle)

        self.row(self.refine, self.near_strokes)
        self.row(self.show_changes, self.confirm_region)
        controller.classes_changed.connect(self._update_menu_button)

    def offer(self, labelled: bool) -> None:
        """Show what can be done with labels once there are some."""
        for control in (self.refine, self.near_strokes, self.show_changes, self.confirm_region):
            control.setVisible(labelled)

    def _update_menu_button(self) -> None:
        """Show the menu once there is a class to do something about."""
        self.more.setVisible(bool(self.controller.classes))

    def fill_menu(self, groups: Iterable[Iterable[QAction]]) -> None:
        """Put the actions of all sections into the menu, a line between two groups."""
        for group in groups:
            actions = list(group)
            if actions and not self.menu.isEmpty():
                self.menu.addSeparator()
            self.menu.addActions(actions)
