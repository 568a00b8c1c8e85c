"""What to export, where to and how: the dialog behind Export."""

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_wildseg.gui.controls.focus import FocusMark
from napari_wildseg.gui.controls.named import named
from napari_wildseg.gui.export import (
    COCO,
    DATA_SETS,
    INSTANCES,
    OBJECTS,
    Choice,
    ending_of,
    suited_pattern,
)


class ExportDialog(QDialog):
    """Asks for format, folder, file names, which images and planes, and unlabelled pixels."""

    def __init__(
        self,
        choice: Choice,
        preview: Callable[[Choice], tuple[str, bool]],
        *,
        images: int = 1,
        planes: int = 1,
        objects: bool = False,
        pictures: Path | None = None,
        parent: QWidget | None = None,
    ) -> None:
        from napari_wildseg.io import FORMATS
        from napari_wildseg.io.masks.unlabelled import CHOICES

        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_WindowPropagation)  # the widget's size of letters
        self.setObjectName("export_dialog")
        self.setWindowTitle("Export labels")
        self._preview = preview
        self._pictures = pictures
        titles = {
            f.name: f"{f.title} ({ending_of(f.name)})" for f in FORMATS if f.name != "project"
        }
        of_objects = {k: f"{title} ({end})" for k, (title, end) in OBJECTS.items()}
        self.format = self._combo(
            "export_format", titles | DATA_SETS | (of_objects if objects else {}), choice.format
        )
        self.format.setToolTip("What training code reads; the documentation compares them.")
        self.folder = self._line("export_folder", str(choice.folder), "Where the files go.")
        browse = named(QToolButton(self), "export_browse", "Choose the folder.", text="...")
        browse.clicked.connect(lambda: self._browse())
        self.pattern = self._line(
            "export_pattern",
            choice.pattern,
            "File name without ending: {image} becomes the image's name, {plane} the plane's\n"
            "number in a stack.",
        )
        self.all_images = self._check(
            "export_all_images", f"All {images} images with labels", choice.all_images, images > 1
        )
        self.all_planes = self._check(
            "export_all_planes", f"All {planes} planes of a stack", choice.all_planes, planes > 1
        )
        self.unlabelled = self._combo("export_unlabelled", CHOICES, choice.unlabelled)
        self.unlabelled.setToolTip(
            "What becomes of pixels that are grey (not sure) in the first guess."
        )
        self.instances = self._combo("export_instances", INSTANCES, choice.instances)
        self.instances.setToolTip("What one annotation of COCO is.")
        about = (
            "Smaller regions are no instances of their own: they join the nearest of their class."
        )
        self.min_size = named(QSpinBox(self), "export_min_size", about, suffix=" pixels")
        self.min_size.setRange(0, 1_000_000)
        self.min_size.setValue(choice.min_size)
        self.min_size.valueChanged.connect(lambda _: self._show())
        self.about = named(QLabel(self), "export_about", wordWrap=True)
        self.about.setTextFormat(Qt.TextFormat.PlainText)
        # No standard button: some desktops give those pictures that go with no theme of napari.
        self.buttons = QDialogButtonBox(self)
        self.buttons.addButton("Cancel", QDialogButtonBox.ButtonRole.RejectRole)
        self.ok = self.buttons.addButton("Export", QDialogButtonBox.ButtonRole.AcceptRole)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)

        place = QHBoxLayout()
        place.addWidget(self.folder)
        place.addWidget(browse)
        form = QFormLayout()
        form.addRow("Format", self.format)
        form.addRow("Folder", place)
        form.addRow("File name", self.pattern)
        # Of one image, or one plane, there is nothing to choose.
        for title, box in (("Images", self.all_images), ("Planes", self.all_planes)):
            box.setVisible(box.isEnabled())
            if box.isEnabled():
                form.addRow(title, box)
        form.addRow("Unlabelled pixels", self.unlabelled)
        form.addRow("Instances", self.instances)
        form.addRow("Smallest instance", self.min_size)
        self._form = form
        column = QVBoxLayout(self)
        column.addLayout(form)
        column.addWidget(self.about)
        column.addWidget(self.buttons)
        self.setMinimumWidth(460)
        self.focus_mark = FocusMark(self)
        self._show()

    def choice(self) -> Choice:
        """Return what is chosen now."""
        folder = self.folder.text().strip()
        return Choice(
            format=str(self.format.currentData()),
            folder=Path(folder).expanduser().absolute() if folder else Path(),
            pattern=self.pattern.text().strip(),
            all_images=self.all_images.isChecked(),
            all_planes=self.all_planes.isChecked(),
            unlabelled=str(self.unlabelled.currentData()),
            instances=str(self.instances.currentData()),
            min_size=self.min_size.value(),
        )

    def ask(self) -> Choice | None:
        """Show the dialog; returns None if the annotator changed their mind."""
        accepted = self.exec()
        return self.choice() if accepted else None

    def _browse(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Folder", self.folder.text())
        if name:
            self.folder.setText(name)

    def _show(self) -> None:
        coco = self.format.currentData() in COCO
        labels = self.format.currentData() not in OBJECTS
        by_region = self.instances.currentData() == "component"
        for box, shown in (
            (self.unlabelled, labels),
            (self.instances, coco),
            (self.min_size, coco and by_region),
        ):
            box.setVisible(shown)
            label = self._form.labelForField(box)
            if label is not None:
                label.setVisible(shown)
        choice = self.choice()
        pattern = suited_pattern(
            choice.format, choice.pattern, beside=choice.folder == self._pictures
        )
        if pattern != choice.pattern:
            self.pattern.setText(pattern)  # which comes back here
            return
        sentence, possible = self._preview(choice)
        self.about.setText(sentence)
        if self.ok is not None:
            self.ok.setEnabled(possible)

    def _combo(self, name: str, entries: dict[str, str], chosen: str) -> QComboBox:
        box = QComboBox(self)
        box.setObjectName(name)
        for key, title in entries.items():
            box.addItem(title, key)
        box.setCurrentIndex(max(0, list(entries).index(chosen) if chosen in entries else 0))
        box.currentIndexChanged.connect(lambda _: self._show())
        return box

    def _line(self, name: str, text: str, tooltip: str) -> QLineEdit:
        line = named(QLineEdit(text, self), name, tooltip)
        line.textChanged.connect(lambda _: self._show())
        return line

    def _check(self, name: str, text: str, checked: bool, enabled: bool) -> QCheckBox:
        on = checked and enabled
        box = named(QCheckBox(text, self), name, enabled=enabled, checked=on)
        box.toggled.connect(lambda _: self._show())
        return box
