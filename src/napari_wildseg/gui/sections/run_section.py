"""Auto-segment and how: cancel, the threshold, whether to refine at once."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QFormLayout, QHBoxLayout

from napari_wildseg.gui.controls.slider import Slider
from napari_wildseg.gui.sections.section import Section, timer

AUTO_SEGMENT_KEY = "Alt+A"
"""Free in napari, whose own Alt shortcuts are Alt+C, S, T and the initials of its menus."""


class RunSection(Section):
    """Starts and stops runs."""

    auto_segment_asked = Signal()

    def build(self) -> None:
        """Make the controls and connect them."""
        controller = self.controller
        self.auto_segment = self.button(
            "auto_segment",
            "Auto-segment",
            f"Find the classes in the image ({AUTO_SEGMENT_KEY}). Corrections are kept.",
            self.auto_segment_asked.emit,
        )
        self.shortcut(AUTO_SEGMENT_KEY, self.auto_segment_asked.emit)
        self.cancel = self.button(
            "cancel",
            "Cancel",
            "Stop the run; nothing is changed.",
            lambda: controller.cancel(),
            enabled=False,
        )
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

        self.threshold = Slider(self)
        self.threshold.setObjectName("threshold")
        self.threshold.setRange(0.0, 1.0)
        self.threshold.setSingleStep(0.01)  # type: ignore[arg-type]
        self.threshold.setDecimals(2)
        self.threshold.setValue(controller.threshold)
        self.threshold.setToolTip(
            "How sure the model must be of a pixel. Lower labels more pixels,\n"
            "higher leaves more of them to the refinement."
        )
        self.threshold.valueChanged.connect(self._on_threshold)
        self._settle = timer(self, 250, controller.settle_threshold)

        self.refine_at_once = QCheckBox("Refine at once", self)
        self.refine_at_once.setObjectName("refine_at_once")
        self.refine_at_once.setChecked(controller.refine_at_once)
        self.refine_at_once.setToolTip(
            "Go on to refined labels directly. Off: the rough pseudo-labels are shown first, "
            "to be corrected before Refine; grey pixels are not sure."
        )
        self.refine_at_once.toggled.connect(self._on_refine_at_once)

        controller.settings_restored.connect(self._show_settings)

        row = QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(self.auto_segment, 2)
        row.addWidget(self.cancel, 1)
        level = QFormLayout()
        level.setContentsMargins(0, 0, 0, 0)
        level.addRow("Threshold", self.threshold)
        self.column.addLayout(row)
        self.column.addLayout(level)
        self.column.addWidget(self.refine_at_once)

    def _show_busy(self, busy: bool) -> None:
        self.cancel.setEnabled(busy)

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
