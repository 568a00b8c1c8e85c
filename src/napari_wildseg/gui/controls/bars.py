"""Bars that come and go: suggested names, and corrections found from an earlier session."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TypeAlias

from qtpy.QtCore import QEvent, QObject, Qt, QTimer, Signal
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QFrame, QGridLayout, QLabel, QPushButton, QSizePolicy, QWidget
from superqt import QFlowLayout

from napari_wildseg.engine.classes import fold
from napari_wildseg.engine.maps.thresholds import PERHAPS_SCORE, PRESENT_SCORE
from napari_wildseg.gui.controls.as_typed import quoted
from napari_wildseg.gui.controls.named import named
from napari_wildseg.gui.controls.plain_text import plain
from napari_wildseg.gui.notices import pluralise
from napari_wildseg.gui.recovery_record import Saved

_ENTER_EVENTS = (QEvent.Type.Enter, QEvent.Type.FocusIn)
_LEAVE_EVENTS = (QEvent.Type.Leave, QEvent.Type.FocusOut, QEvent.Type.Hide)
_HOVER_MILLISECONDS = 150
"""Milliseconds that the pointer rests on a name before it is shown."""


class _Flow(QFlowLayout):
    """A flow whose height is set by the bar: a scroll area misjudges heights that follow widths."""

    def hasHeightForWidth(self) -> bool:  # noqa: N802
        """Return False."""
        return False


Names: TypeAlias = Sequence[tuple[str, float | None]]
"""Suggested names with their scores; none for those that came with the image."""


def group_by_score(names: Names) -> list[tuple[str, list[tuple[str, float | None]]]]:
    """Return the names under what can be said of them; groups without a name are left out."""
    groups: dict[str, list[tuple[str, float | None]]] = {}
    for name, score in names:
        sure = score is None or score >= PRESENT_SCORE
        said = "In the image" if sure else "Perhaps" if (score or 0) >= PERHAPS_SCORE else "Or pick"
        groups.setdefault(said, []).append((name, score))
    return [
        (said, groups[said]) for said in ("In the image", "Perhaps", "Or pick") if said in groups
    ]


class SuggestionBar(QWidget):
    """Suggested names, grouped by how sure they are; hidden while there is none."""

    chosen = Signal(str)
    hovered = Signal(str)
    """The name that the pointer, or else the focus of the keys, rests on; empty for none."""
    changed = Signal()
    """There are other names now."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("suggestions")
        self.setToolTip("Names that may fit the image: point at one to see where, click to add it.")
        self._names: list[tuple[str, float | None]] = []
        self._buttons: dict[str, QPushButton] = {}
        self._headings: list[QLabel] = []
        self._taken: frozenset[str] = frozenset()
        self._hovered = ""
        self._hover_timer = QTimer(self)  # a pointer that passes over the names shows none of them
        self._hover_timer.setSingleShot(True)
        self._hover_timer.setInterval(_HOVER_MILLISECONDS)
        self._hover_timer.timeout.connect(lambda: self.hovered.emit(self._hovered))
        self._flow = _Flow(self)
        self._flow.setContentsMargins(0, 0, 0, 0)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.hide()

    def show_names(self, names: Names) -> None:
        """Replace the names."""
        if list(names) == self._names:
            return
        self._names = list(names)
        self._buttons.clear()
        self._headings.clear()
        while (item := self._flow.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        for said, group in group_by_score(names):
            heading = QLabel(f"{said}:", self)
            self._headings.append(heading)
            self._flow.addWidget(heading)
            heading.show()  # the flow gives no room to what Qt has not shown yet
            for name, score in group:
                button = QPushButton("+ " + name.replace("&", "&&"), self)  # no shortcut
                fit = "" if score is None else f" (score {score:.2f})"
                button.setToolTip(plain(f"{said}: add {name} to the classes{fit}."))
                button.setAccessibleName(f"{said}: add {name}")
                button.clicked.connect(lambda _=False, b=button, n=name: self._choose(b, n))
                button.setProperty("suggested", name)
                button.installEventFilter(self)
                self._flow.addWidget(button)
                self._buttons[fold(name)] = button
                button.show()
        self.mark(self._taken)
        self.changed.emit()

    def mark(self, taken: Iterable[str]) -> None:
        """Grey out the names that are classes already; hide the bar where all of them are."""
        self._taken = frozenset(fold(name) for name in taken)
        for name, button in self._buttons.items():
            button.setEnabled(name not in self._taken)
        self.setVisible(not self._taken.issuperset(self._buttons))
        self._fit()

    def changeEvent(self, event: QEvent | None) -> None:  # noqa: N802
        """Make room for letters of another size."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.FontChange:
            self._fit()

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802
        """Take the height that the rows of names need at this width."""
        super().resizeEvent(event)
        self._fit()

    def eventFilter(  # noqa: N802 - Qt's name
        self, watched: QObject | None, event: QEvent | None
    ) -> bool:
        """Notice the name that the pointer or the focus comes to, or leaves."""
        kind = None if event is None else event.type()
        # A name that is clicked gives the focus away; the pointer counts then.
        focus = kind in (QEvent.Type.FocusIn, QEvent.Type.FocusOut) and self.underMouse()
        if kind in (*_ENTER_EVENTS, *_LEAVE_EVENTS) and not focus and isinstance(watched, QWidget):
            self._hovered = watched.property("suggested") if kind in _ENTER_EVENTS else ""
            self._hover_timer.start()
        return False

    def _fit(self) -> None:
        height = next((button.sizeHint().height() for button in self._buttons.values()), 0)
        for heading in self._headings:
            heading.setMinimumHeight(height)
        self.setFixedHeight(self._flow.heightForWidth(self.width()))

    def _choose(self, button: QPushButton, name: str) -> None:
        button.setEnabled(False)
        self.chosen.emit(quoted(name))


class NotKeptBar(QLabel):
    """Says that corrections cannot be kept safe; hidden while they can."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        named(
            self,
            "not_kept",
            "If napari crashed now, what you painted last would be lost.\n"
            "Export or Save project to be safe; it is tried again every few seconds.",
            accessibleName="Corrections are not kept safe",
            textFormat=Qt.TextFormat.PlainText,
            wordWrap=True,
            frameShape=QFrame.Shape.Box,
        )
        self.hide()

    def notify(self, trouble: str) -> None:
        """Show why; nothing hides the bar."""
        if trouble:
            self.setText(
                f"Your corrections cannot be kept safe: {trouble} It is tried again every few "
                "seconds; Export or Save project meanwhile."
            )
        self.setVisible(bool(trouble))


class LeftOverBar(QWidget):
    """Offers the corrections of an earlier session; hidden while there are none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("left_over")
        self.setToolTip("Corrections that were painted on this image and not exported.")
        self._text = QLabel(self)
        self._text.setWordWrap(True)
        self._text.setTextFormat(Qt.TextFormat.PlainText)
        about = "Paint these corrections into the labels layer again."
        self.restore = named(QPushButton("Restore", self), "restore", about)
        about = "Throw these corrections away."
        self.discard = named(QPushButton("Discard", self), "discard", about)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        grid.addWidget(self._text, 0, 0, 1, 2)
        grid.addWidget(self.restore, 1, 0)
        grid.addWidget(self.discard, 1, 1)
        self.hide()

    def offer(self, found: Sequence[Saved]) -> None:
        """Show what was found."""
        if found:
            pixels = sum(int((s.corrections >= 0).sum()) for s in found if not s.objects)
            when = datetime.fromtimestamp(max(saved.saved_at for saved in found))
            day = f"{when:%d %B, %H:%M}"
            text = f"Corrections of objects of this image were left on {day}."
            if pixels:
                text = "{n} corrected [pixel|pixels] of this image [was|were] left on {day}."
                text = pluralise(pixels, text, day=day)
                text += " Its objects were corrected too." if any(s.objects for s in found) else ""
            self._text.setText(text)
        self.setVisible(bool(found))
