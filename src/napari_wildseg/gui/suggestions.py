"""Suggested class names, as small buttons that add themselves to the table."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QSizePolicy, QWidget
from superqt import QFlowLayout


class SuggestionBar(QWidget):
    """Rows of names; hidden while there is none."""

    chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("suggestions")
        self._flow = QFlowLayout(self)
        self._flow.setContentsMargins(0, 0, 0, 0)
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.hide()

    def show_names(self, names: Sequence[tuple[str, float]]) -> None:
        """Replace the names.

        Parameters
        ----------
        names : sequence of (str, float)
            Names and how well they fit, best first.
        """
        while (item := self._flow.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.deleteLater()
        for name, score in names:
            button = QPushButton(f"+ {name}", self)
            button.setToolTip(f"Add {name} to the classes (score {score:.2f}).")
            button.clicked.connect(lambda _=False, b=button, n=name: self._choose(b, n))
            self._flow.addWidget(button)
        self.setVisible(bool(names))

    def _choose(self, button: QPushButton, name: str) -> None:
        button.setEnabled(False)
        self.chosen.emit(name)
