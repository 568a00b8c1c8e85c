"""Auto-segment and how: cancel, the threshold, whether to refine at once."""

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QWidget

from napari_wildseg.gui.controls.named import named
from napari_wildseg.gui.controls.slider import Slider
from napari_wildseg.gui.sections.section import Section, timer

AUTO_SEGMENT_KEY = "Alt+A"
"""Free in napari, whose own Alt shortcuts are Alt+C, S, T and the initials of its menus."""


class RunSection(Section):
    """Starts and stops runs."""

    auto_segment_requested = Signal()

    def build(self) -> None:
        """Make the controls and connect them."""
        controller = self.controller
        self.auto_segment = self.button(
            "auto_segment",
            "Auto-segment",
            f"Find the classes of the table in the image ({AUTO_SEGMENT_KEY}), for example\n"
            "every cat. What you painted is kept.",
            self.auto_segment_requested.emit,
        )
        self.shortcut(AUTO_SEGMENT_KEY, self.auto_segment_requested.emit)
        self.cancel = self.button(
            "cancel",
            "Cancel",
            "Stop the run; nothing is changed.",
            lambda: controller.cancel(),
            enabled=False,
        )
        self.cancel.hide()
        controller.runner.busy.connect(self._show_busy)
        self.menu_action(
            "auto_segment_planes",
            "Auto-segment all planes of the stack",
            "Find the classes in every plane, one after the other; Cancel stops in between.",
            controller.auto_segment_planes,
        )
        self.menu_action(
            "release_model",
            "Release the model",
            "Give its memory back; labels and corrections stay. The next run loads it anew.",
            controller.release_model,
        )

        self.threshold = named(
            Slider(self),
            "threshold",
            "How sure a pixel of the first guess must be. Lower labels more of the image,\n"
            "for example when half of a cat is missing; higher leaves more of it open.",
            decimals=2,
            singleStep=0.01,
        )
        self.threshold.setRange(0.0, 1.0)
        self.threshold.setValue(controller.threshold)
        self.threshold.valueChanged.connect(self._on_threshold)
        self._settle = timer(self, 250, controller.live_threshold.on_released)

        self.refine_at_once = self.check_box(
            "refine_at_once",
            "Go straight to finished labels",
            "On: Auto-segment draws outlines along the edges of the image at once.\n"
            "Off: it stops at the first guess, where grey is not sure. Paint in it, for example\n"
            "the handle of a cup that is grey, and press Refine.",
            self._on_refine_at_once,
            on=controller.refine_at_once,
        )

        controller.settings_restored.connect(self._show_settings)

        self.run_row = self.row((self.auto_segment, 2), self.cancel)
        """Auto-segment, Cancel, and the menu that the dock widget adds."""
        self.level = QWidget(self)
        level = QFormLayout(self.level)
        level.setContentsMargins(0, 0, 0, 0)
        level.addRow("Threshold", self.threshold)
        self.column.addWidget(self.level)
        self.level.hide()
        self.column.addWidget(self.refine_at_once)

    def offer(self, labelled: bool) -> None:
        """Show the threshold once there is something that it changes."""
        self.level.setVisible(labelled)

    def _show_busy(self, busy: bool) -> None:
        self.cancel.setEnabled(busy)
        self.cancel.setVisible(busy)

    def _show_settings(self) -> None:
        for control in (self.threshold, self.refine_at_once):
            control.blockSignals(True)
        self.threshold.setValue(self.controller.threshold)
        self.refine_at_once.setChecked(self.controller.refine_at_once)
        for control in (self.threshold, self.refine_at_once):
            control.blockSignals(False)

    def _on_threshold(self, value: float) -> None:
        self.controller.set_threshold(value)
        self._settle.start()

    def _on_refine_at_once(self, checked: bool) -> None:
        self.controller.refine_at_once = checked
        self.controller.apply_visibility()
