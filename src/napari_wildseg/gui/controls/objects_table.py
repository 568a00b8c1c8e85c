"""The table of objects: id, class and area, specks first; quick with thousands of rows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QAbstractTableModel, QEvent, QModelIndex, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

HEADINGS = ("Id", "Class", "Area")
AREA = 2


class ObjectsModel(QAbstractTableModel):
    """Rows of objects, sorted by any column."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.ids: NDArray[np.int64] = np.zeros(0, np.int64)
        self._columns: tuple[NDArray[Any], ...] = (self.ids, np.zeros(0, object), self.ids)
        self._sorted = (AREA, Qt.SortOrder.AscendingOrder)

    def show(self, ids: list[int], classes: list[str], areas: list[int]) -> None:
        """Show other objects, sorted as before."""
        self.beginResetModel()
        self._columns = (
            np.array(ids, np.int64),
            np.array(classes, object),
            np.array(areas, np.int64),
        )
        self._arrange()
        self.endResetModel()

    def row_of(self, number: int) -> int | None:
        """Return the row of an id, None if it is not there."""
        found = np.flatnonzero(self.ids == number)
        return int(found[0]) if found.size else None

    def _arrange(self) -> None:
        column, order = self._sorted
        ids = self._columns[0]
        keys = self._columns[column]
        places = np.unique(keys, return_inverse=True)[1]
        if order == Qt.SortOrder.DescendingOrder:
            places = -places
        arranged = np.lexsort((ids, places))
        self._columns = tuple(each[arranged] for each in self._columns)
        self.ids = self._columns[0]

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: N802, B008 - Qt's
        """Return how many objects there are."""
        return 0 if parent.isValid() else len(self.ids)

    def columnCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: N802, B008 - Qt's
        """Return how many columns there are."""
        return 0 if parent.isValid() else len(HEADINGS)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows."""
        if role == Qt.ItemDataRole.DisplayRole:
            value = self._columns[index.column()][index.row()]
            return f"{value:,}" if index.column() == AREA else str(value)
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column() != 1:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def headerData(  # noqa: N802 - Qt's name
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return a heading."""
        if role == Qt.ItemDataRole.DisplayRole and orientation == Qt.Orientation.Horizontal:
            return HEADINGS[section]
        return None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column."""
        self.beginResetModel()
        self._sorted = (max(column, 0), order)
        self._arrange()
        self.endResetModel()


class ObjectsTable(QTableView):
    """Shows the objects; a click, Enter or an arrow key chooses one."""

    chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("objects_table")
        self.setAccessibleName("Objects")
        self.setToolTip(
            "The objects in view, the smallest first. A click or an arrow key shows one and\n"
            "selects its id; a heading sorts."
        )
        self.rows = ObjectsModel(self)
        self.setModel(self.rows)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setTabKeyNavigation(False)
        self.setSortingEnabled(True)
        self.sortByColumn(AREA, Qt.SortOrder.AscendingOrder)
        vertical, across = self.verticalHeader(), self.horizontalHeader()
        if vertical is not None and across is not None:
            vertical.hide()
            across.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self._fit_font()
        self._selecting = False
        selection = self.selectionModel()
        if selection is not None:
            selection.currentRowChanged.connect(self._on_current)
        self.clicked.connect(self._on_current)
        self.activated.connect(self._on_current)

    def changeEvent(self, event: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Make room for letters of another size."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.FontChange:
            self._fit_font()

    def _fit_font(self) -> None:
        height, vertical = self.fontMetrics().lineSpacing() + 4, self.verticalHeader()
        if vertical is not None:
            vertical.setDefaultSectionSize(height)
        self.setMinimumHeight(7 * height)

    def show_objects(self, ids: list[int], classes: list[str], areas: list[int]) -> None:
        """Show other objects; the row of the object that was current stays current."""
        current = self.current()
        self.rows.show(ids, classes, areas)
        if current is not None:
            self.select(current)

    def current(self) -> int | None:
        """Return the id of the current row, None if there is none."""
        row = self.currentIndex().row()
        return int(self.rows.ids[row]) if 0 <= row < len(self.rows.ids) else None

    def select(self, number: int) -> None:
        """Make the row of an object the current one, without moving the view of the image."""
        row = self.rows.row_of(number)
        if row is None or self.current() == number:
            return
        self._selecting = True
        try:
            self.selectRow(row)
        finally:
            self._selecting = False

    def _on_current(self, index: QModelIndex) -> None:
        if not self._selecting and index.isValid():
            self.chosen.emit(int(self.rows.ids[index.row()]))
