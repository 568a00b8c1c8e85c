"""Which image is worked on, by which model; and what an earlier session left for it."""

from magicgui.widgets import ComboBox
from napari.layers import Image
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QComboBox, QSizePolicy

from napari_wildseg.gui import model_list
from napari_wildseg.gui.controls.bars import LeftOverBar, NotKeptBar
from napari_wildseg.gui.layers.display import RELEVANCE, channels_of
from napari_wildseg.gui.notices import join_names, pluralise
from napari_wildseg.gui.sections.section import Section, narrow


class ImageSection(Section):
    """The image, the model, and corrections found from an earlier session."""

    def build(self) -> None:
        """Make the controls and connect them."""
        self.image = ComboBox(choices=self._choices, nullable=True, name="image")
        self.image.native.setObjectName("image")
        self.image.tooltip = (
            "The image to segment, as it is displayed. Of a stack, the plane in view is segmented; "
            "additive channels on the same spot are taken together."
        )
        self.image.changed.connect(self.controller.choose_image)

        self.model = self.combo(
            "model",
            "The image-text model. The starter is built in and needs no download; it is loaded\n"
            "when it is first used. Other model strings can be typed: NAME/TAG of open_clip,\n"
            "local-dir:FOLDER or the path of a checkpoint.",
        )
        self.model.setEditable(True)
        self.model.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.model.addItems(model_list.choices(self.controller.model))
        self.model.setCurrentText(self.controller.model)
        self.model.activated.connect(lambda _: self.apply_model())
        editor = self.model.lineEdit()
        assert editor is not None
        editor.editingFinished.connect(self.apply_model)
        narrow(self.image.native)  # a layer may have a long name
        for box in (self.image.native, self.model):
            box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

        self.controller.settings_restored.connect(
            lambda: self.model.setCurrentText(self.controller.model)
        )

        self.left_over = LeftOverBar(self)
        self.left_over.restore.clicked.connect(lambda: self.controller.left_over.restore())
        self.left_over.discard.clicked.connect(lambda: self.controller.left_over.discard())
        self.controller.classes_changed.connect(self._show_left_over)
        self.not_kept = NotKeptBar(self)
        self._watch = QTimer(self)
        self._watch.setInterval(100)
        self._watch.timeout.connect(self._step)
        self.controller.autosave.began.connect(self._start_timer)
        self.controller.image_chosen.connect(self._show_chosen)

        self.form({"Image": self.image.native, "Model": self.model})
        self.column.addWidget(self.left_over)
        self.column.addWidget(self.not_kept)

    def reset_choices(self) -> None:
        """List the images there are now; the chosen one stays chosen, whatever its name."""
        chosen = self.controller.image
        layers = [layer for _, layer in self._choices()]
        with self.image.changed.blocked():
            self.image.reset_choices()
            if chosen not in layers:
                chosen = layers[-1] if layers else None
            self.image.value = chosen
        self.controller.choose_image(chosen)

    def on_image_inserted(self, layer: object) -> None:
        """Switch to an image that was just opened, unless the present one has unsaved work."""
        controller, before = self.controller, self.controller.image
        if before is None or layer is before or not self._is_offered(layer):
            return
        assert isinstance(layer, Image)
        together = channels_of(layer, controller.viewer.layers)
        session = controller.session
        if before in together:
            controller.show_next_step()  # it names the channels
        elif controller.working or (session is not None and session.unsaved):
            names = join_names([f'"{channel.name}"' for channel in together])
            message = "To work on {names}, choose [it|one of them] under Image."
            controller.status.emit(pluralise(len(together), message, names=names))
        else:
            self._switch_to(layer)

    def _switch_to(self, layer: Image) -> None:
        with self.image.changed.blocked():
            self.image.value = layer
        self.controller.choose_image(layer)

    def apply_model(self) -> None:
        """Use the model that was typed or chosen."""
        name = self.model.currentText().strip() or model_list.OFFERED[0]
        self.model.setCurrentText(name)
        if name != self.controller.model:
            self.controller.model = name
            self.controller.status.emit(f"The next Auto-segment uses {name}.")

    def _show_chosen(self) -> None:
        """Show what was chosen elsewhere."""
        self.reset_choices()
        self.model.setCurrentText(self.controller.model)

    def _choices(self, _widget: object = None) -> list[tuple[str, Image]]:
        return [
            (layer.name, layer)
            for layer in self.controller.viewer.layers
            if self._is_offered(layer)
        ]

    @staticmethod
    def _is_offered(layer: object) -> bool:
        return isinstance(layer, Image) and layer.metadata.get("wildseg") != RELEVANCE

    def _start_timer(self) -> None:
        if not self._watch.isActive():
            self._watch.start()

    def _step(self) -> None:
        """Continue the autosave; report when corrections cannot be saved."""
        autosave = self.controller.autosave
        if not autosave.step():
            self._watch.stop()
        trouble, before = autosave.trouble, not self.not_kept.isHidden()
        self.not_kept.notify(trouble)
        if trouble and not before:
            self.controller.notify(self.not_kept.text())
        elif before and not trouble:
            self.controller.status.emit("Your corrections are kept safe again.")

    def _show_left_over(self) -> None:
        session = self.controller.session
        self.left_over.offer([] if session is None else session.left_over)
