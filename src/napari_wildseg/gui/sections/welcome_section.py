"""What a new annotator sees first: three steps, and a photograph to try them on."""

from functools import partial
from typing import ClassVar

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel

from napari_wildseg.engine.pictures.samples import SAMPLE_PICTURES
from napari_wildseg.engine.progress import Progress, Steps
from napari_wildseg.gui.controls.named import named
from napari_wildseg.gui.sample_data import LayerData, open_sample
from napari_wildseg.gui.sections.section import Section

SAMPLE = "coffee"

_STEPS = (
    "1.  Open an image: drop it on the window.\n"
    "2.  Type what is in it, for example: cat, sofa.\n"
    "3.  Press Auto-segment, then paint over what is wrong."
)


class WelcomeSection(Section):
    """Three steps and a sample; shown while no image is open."""

    page: ClassVar[str] = "tutorial-photos.md#1-a-first-look"

    def build(self) -> None:
        """Make the controls and connect them."""
        steps = named(QLabel(_STEPS, self), "first_steps", wordWrap=True)
        steps.setTextFormat(Qt.TextFormat.PlainText)
        self.sample = self.button(
            "open_sample",
            "Try it on a sample photograph",
            "Open a photograph of a cup of coffee, with names to look for. Nothing is downloaded.",
            self._open_sample,
        )
        self.column.addWidget(steps)
        self.column.addWidget(self.sample)
        self.controller.classes_changed.connect(self._show)

    def _show(self) -> None:
        self.setVisible(self.controller.image is None)

    def _open_sample(self) -> None:
        run = self.controller.runner.run
        run("Sample", None, partial(_sample_steps, SAMPLE), self._on_sample, quiet=True)

    def _on_sample(self, layers: list[LayerData]) -> None:
        controller = self.controller
        for data, about, _ in layers:
            controller.viewer.add_image(data, **about)
        if not controller.classes:
            controller.add_classes(SAMPLE_PICTURES[SAMPLE].labels)
            controller.show_next_step()


def _sample_steps(name: str) -> Steps[list[LayerData]]:
    yield Progress(0, 1, "Opening the sample")
    return open_sample(name)
