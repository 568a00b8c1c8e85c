"""Where names come from: the vocabulary, its search, the auto switch, and class sets on disk."""

from pathlib import Path
from typing import ClassVar

from qtpy.QtCore import QStringListModel, Qt
from qtpy.QtWidgets import QCompleter, QFileDialog

from napari_wildseg.engine.errors import WildsegError
from napari_wildseg.engine.names.vocabularies import VOCABULARIES, load_vocabulary, search_names
from napari_wildseg.gui.actions.controller import Controller
from napari_wildseg.gui.controls.as_typed import quoted
from napari_wildseg.gui.jobs.worker_thread import Job, shared_worker
from napari_wildseg.gui.layers.class_list import matched
from napari_wildseg.gui.notices import pluralise
from napari_wildseg.gui.sections.section import Section
from napari_wildseg.io.class_sets import read_class_set, write_class_set


def save_classes(controller: Controller, path: str | Path) -> Path | None:
    """Write the class list; the file dialog has asked before replacing."""
    try:
        written = write_class_set(path, controller.classes, overwrite=True)
    except WildsegError as error:
        controller.notify(str(error))
        return None
    number, name = len(controller.classes), written.name
    controller.status.emit(pluralise(number, "Kept {n} [class|classes] in {name}.", name=name))
    return written


def load_classes(controller: Controller, path: str | Path) -> bool:
    """Add the classes of a file to the list; a name that is there already stays as it is."""
    session = controller.session
    used = session.used_ids if session is not None and session.tracked else set()
    before = controller.classes
    try:
        saved = read_class_set(path)
        classes, _ = matched(before, saved, used)
    except WildsegError as error:
        controller.notify(str(error))
        return False
    controller.set_classes(classes)
    moved = [
        c.name
        for c in classes[len(before) :]
        if c.id != next(s.id for s in saved if s.name == c.name)
    ]
    note = f" New ids, since theirs are taken here: {', '.join(moved)}." if moved else ""
    number, name = len(classes) - len(before), Path(path).name
    added = pluralise(number, "Added {n} [class|classes] of {name}.", name=name)
    controller.status.emit(added + note)
    return True


_OWN = "A file of your own ..."
_FILES = "Names (*.txt *.csv);;All files (*)"
_SETS = "Class sets (*.json)"


class VocabularySection(Section):
    """The vocabulary of suggestions and its search; saving and loading the class list."""

    title: ClassVar[str] = "Vocabulary and class sets"
    about: ClassVar[str] = "Which names are suggested; class lists kept in files."
    page: ClassVar[str] = "labels.md#vocabularies"

    def build(self) -> None:
        """Make the controls and connect them."""
        self.setObjectName("vocabulary_section")
        self.setToolTip(self.about)
        self._names: tuple[str, ...] = ()
        self._held = ""
        self.vocabulary = self.combo("vocabulary", "Where suggested names come from.", 10)
        self.vocabulary.setAccessibleName("Vocabulary")
        for one in VOCABULARIES.values():
            self.vocabulary.addItem(f"{one.name} ({one.count:,} names)", one.name)
            self.vocabulary.setItemData(
                self.vocabulary.count() - 1,
                f"{one.title}.\nSource: {one.source}. Licence of the list: {one.licence}.",
                Qt.ItemDataRole.ToolTipRole,
            )
        self.vocabulary.addItem(_OWN, "")
        self._show(self.controller.vocabulary)
        self.vocabulary.activated.connect(lambda _: self._choose())

        about = "Type a part of a name; Enter or a click adds it to the classes."
        self.search = self.line("search_names", about)
        self.search.setPlaceholderText("Search the vocabulary")
        self.search.setAccessibleName("Search the vocabulary")
        self.search.setClearButtonEnabled(True)
        self._found = QStringListModel(self)
        self._completer = QCompleter(self._found, self)
        self._completer.setCompletionMode(QCompleter.CompletionMode.UnfilteredPopupCompletion)
        self._completer.setMaxVisibleItems(12)
        self.search.setCompleter(self._completer)
        self.search.textEdited.connect(self._search)
        self.search.returnPressed.connect(self._add)
        self._completer.activated.connect(lambda _: self._add())

        self.auto_names = self.check_box(
            "auto_names",
            "Auto: suggest names first",
            "Auto-segment first looks for names in the vocabulary and adds those it is sure of;\n"
            "names that get no pixels are taken out again.",
            self._on_auto,
        )
        for control in (self.vocabulary, self.search, self.auto_names):
            self.column.addWidget(control)
        self.row(
            self.button(
                "save_classes",
                "Save classes ...",
                "Keep names, prompts, colours and ids in a file, for other images.",
                self.save,
            ),
            self.button(
                "load_classes",
                "Load classes ...",
                "Add the classes of a file; ids and colours stay what they were.",
                self.load,
            ),
        )

    # -- vocabulary

    def _show(self, vocabulary: str) -> None:
        place = self.vocabulary.findData(vocabulary)
        if place < 0:
            self.vocabulary.insertItem(0, Path(vocabulary).name, vocabulary)
            place = 0
        self.vocabulary.setCurrentIndex(place)

    def _choose(self) -> None:
        chosen = self.vocabulary.currentData()
        if not chosen:
            chosen, _ = QFileDialog.getOpenFileName(self, "A list of names", "", _FILES)
            try:
                if chosen:
                    load_vocabulary(chosen)
            except WildsegError as error:
                self.controller.notify(str(error))
                chosen = ""
        self.controller.vocabulary = chosen or self.controller.vocabulary
        self._show(self.controller.vocabulary)
        self._names, self._held = (), ""

    # -- search

    def _search(self, text: str) -> None:
        vocabulary = self.controller.vocabulary
        if self._held != vocabulary:
            self._held = vocabulary

            def start():  # type: ignore[no-untyped-def]
                yield from ()
                return load_vocabulary(vocabulary)

            # The longest list takes seconds to read the first time: not on this thread.
            shared_worker().submit(
                Job(start, on_result=self._on_names, on_error=self._on_unreadable)
            )
        if self._names:
            self._show_matches(text)

    def _on_names(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._show_matches(self.search.text())
        if self.search.hasFocus():
            self._completer.complete()

    def _on_unreadable(self, error: BaseException) -> None:
        self._held = ""
        self.controller.notify(str(error))

    def _show_matches(self, text: str) -> None:
        found = search_names(self._names, text) if text.strip() else []
        self._found.setStringList(found)

    def _add(self) -> None:
        name = self.search.text().strip()
        if name and self.controller.add_classes(quoted(name)):
            # The completer writes the name once more after this signal.
            self.search.clear()

    def _on_auto(self, checked: bool) -> None:
        self.controller.auto_names.enabled = checked

    # -- class sets

    def save(self) -> None:
        """Ask for a file name and keep the class list."""
        if not self.controller.classes:
            self.controller.notify("There are no classes to keep yet: add some names first.")
            return
        name, _ = QFileDialog.getSaveFileName(self, "Save classes", "classes.json", _SETS)
        if name:
            save_classes(self.controller, name)

    def load(self) -> None:
        """Ask for a file and add its classes."""
        name, _ = QFileDialog.getOpenFileName(self, "Load classes", "", _SETS)
        if name:
            load_classes(self.controller, name)
