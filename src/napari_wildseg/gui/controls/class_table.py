"""The class table: a Qt model over a class list, and the view that shows it."""

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import (
    QAbstractTableModel,
    QEvent,
    QModelIndex,
    QPersistentModelIndex,
    QRectF,
    QSize,
    Qt,
    Signal,
)
from qtpy.QtGui import QColor, QIcon, QKeyEvent, QPainter, QPaintEvent, QPen, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.gui.controls.plain_text import plain
from napari_wildseg.gui.layers.class_list import as_typed

NAME, AREA, LOCK = range(3)
BACKGROUND_NAME = "background"
_INVALID = QModelIndex()
_SWATCH = QSize(14, 14)
_GREY = "#8c8c8c"
"""Can be seen on the dark theme and the light one."""

Index = QModelIndex | QPersistentModelIndex


class ClassTableModel(QAbstractTableModel):
    """Rows are classes; columns are the name (with swatch and visibility) and the area.

    The model shows what it is given and asks for changes by its signals; the class list itself
    belongs to the image's session.
    """

    rename_requested = Signal(int, str)
    visibility_requested = Signal(int, bool)
    lock_requested = Signal(int, bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._classes: tuple[ClassInfo, ...] = ()
        self._hidden: frozenset[int] = frozenset()
        self._locked: frozenset[int] = frozenset()
        self._areas: dict[int, float] = {}
        self._notices: dict[int, str] = {}

    def show(
        self,
        classes: tuple[ClassInfo, ...],
        hidden: frozenset[int],
        notices: dict[int, str] | None = None,
        locked: frozenset[int] = frozenset(),
    ) -> None:
        """Show another class list; ``notices`` say of which ids the model has little idea."""
        notices = notices or {}
        if (classes, hidden, notices, locked) == (
            self._classes,
            self._hidden,
            self._notices,
            self._locked,
        ):
            return
        self._notices, self._locked = notices, locked
        same_rows = [c.id for c in classes] == [c.id for c in self._classes]
        if not same_rows:
            self.beginResetModel()
        self._classes, self._hidden = classes, hidden
        if same_rows:
            self._all_changed()
        else:
            self.endResetModel()

    def show_areas(self, areas: dict[int, float]) -> None:
        """Show which share of the image each class covers."""
        if areas != self._areas:
            self._areas = areas
            self._all_changed()

    def class_at(self, row: int) -> ClassInfo | None:
        """Return the class of a row."""
        return self._classes[row] if 0 <= row < len(self._classes) else None

    def label_at(self, row: int) -> int | None:
        """Return the label value of a row; the last row is the background, label 0."""
        if row == len(self._classes):
            return 0
        info = self.class_at(row)
        return None if info is None else info.id

    def row_of(self, class_id: int) -> int:
        """Return the row of a class, -1 if it has none."""
        if class_id == 0:
            return len(self._classes)
        return next((row for row, c in enumerate(self._classes) if c.id == class_id), -1)

    def _all_changed(self) -> None:
        self.dataChanged.emit(self.index(0, 0), self.index(len(self._classes), LOCK))

    # Qt calls these; the names are its own.

    def rowCount(self, parent: Index = _INVALID) -> int:  # noqa: N802
        """Return the number of classes, and one for the background."""
        return 0 if parent.isValid() else len(self._classes) + 1

    def columnCount(self, parent: Index = _INVALID) -> int:  # noqa: N802
        """Return the number of columns."""
        return 0 if parent.isValid() else 3

    def headerData(  # noqa: N802
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return the heading of a column."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return ("Class", "Area", "")[section]
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows."""
        info = self.class_at(index.row())
        if index.column() == AREA and self.label_at(index.row()) is not None:
            return self._area_data(info, role)
        if info is None:
            return self._background_data(index, role)
        if index.column() == LOCK:
            return self._lock_data(info, role)
        if role == Qt.ItemDataRole.DisplayRole:
            return f"{info.name}  (?)" if info.id in self._notices else info.name
        if role == Qt.ItemDataRole.EditRole:
            return as_typed(info)
        if role == Qt.ItemDataRole.DecorationRole:
            return swatch(info.colour, str(index.row() + 1) if index.row() < 9 else "")
        if role == Qt.ItemDataRole.CheckStateRole:
            shown = info.id not in self._hidden
            return Qt.CheckState.Checked if shown else Qt.CheckState.Unchecked
        if role == Qt.ItemDataRole.ToolTipRole:
            asked = ", ".join(info.prompts)
            notice = self._notices.get(info.id, "")
            return plain(
                f"{notice}\n\n".lstrip() + f"{info.name}: label {info.id}, asked for as {asked}.\n"
                "Click to paint with it, double-click to rename, Delete to remove;\n"
                "the box shows or hides it, the padlock (or L) locks it."
                + (f"\nAlt+{index.row() + 1} picks it." if index.row() < 9 else "")
            )
        return None

    def _background_data(self, index: Index, role: int) -> Any:
        if index.row() != len(self._classes) or index.column() != NAME:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return BACKGROUND_NAME
        if role == Qt.ItemDataRole.DecorationRole:
            return swatch(None, "0")
        if role == Qt.ItemDataRole.ToolTipRole:
            return (
                "What is none of the classes: label 0, not drawn.\n"
                "Click (or Alt+0) to paint with it, which erases; hold Q to do so for a moment."
            )
        return None

    def is_locked(self, class_id: int) -> bool:
        """Whether a class is locked."""
        return class_id in self._locked

    def _lock_data(self, info: ClassInfo, role: int) -> Any:
        locked = self.is_locked(info.id)
        if role == Qt.ItemDataRole.DecorationRole:
            return padlock(locked)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return "locked" if locked else "not locked"
        if role == Qt.ItemDataRole.ToolTipRole:
            text = f"{info.name} is locked: no run takes pixels from it or gives it any."
            return text if locked else f"Click to lock {info.name}."
        return None

    def _area_data(self, info: ClassInfo | None, role: int) -> Any:
        number, name = (0, BACKGROUND_NAME) if info is None else (info.id, info.name)
        share = self._areas.get(number, 0.0 if self._areas else None)
        if role == Qt.ItemDataRole.DisplayRole:
            if share is None:
                return ""
            return "<0.1 %" if 0 < share < 0.0005 else f"{share:.1%}".replace("%", " %")
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.ToolTipRole:
            return plain(f"The share of the image labelled {name}.")
        return None

    def setData(  # noqa: N802
        self, index: Index, value: Any, role: int = Qt.ItemDataRole.EditRole
    ) -> bool:
        """Ask for a new name or visibility."""
        info = self.class_at(index.row())
        if info is None or index.column() != NAME:
            return False
        if role == Qt.ItemDataRole.CheckStateRole:
            self.visibility_requested.emit(info.id, Qt.CheckState(value) == Qt.CheckState.Checked)
            return True
        if role == Qt.ItemDataRole.EditRole:
            if str(value).strip() != as_typed(info):
                self.rename_requested.emit(info.id, str(value))
            return True
        return False

    def flags(self, index: Index) -> Qt.ItemFlag:
        """Return what can be done with a cell."""
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        if index.column() == NAME and self.class_at(index.row()) is not None:
            flags |= Qt.ItemFlag.ItemIsEditable | Qt.ItemFlag.ItemIsUserCheckable
        return flags


def swatch(colour: tuple[int, int, int] | None, key: str = "", size: QSize = _SWATCH) -> QIcon:
    """Return a rounded square of one colour."""
    fill = QColor(_GREY) if colour is None else QColor(*colour)
    ink = QColor(_GREY) if colour is None else ink_on(*fill.getRgb()[:3])

    def draw(painter: QPainter) -> None:
        inside = QRectF(0.5, 0.5, size.width() - 1, size.height() - 1)
        if colour is None:
            painter.setPen(QPen(fill, 1))
        else:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(fill)
        painter.drawRoundedRect(inside, 3, 3)
        if key:
            font = painter.font()
            font.setPixelSize(round(size.height() * 0.75))
            font.setBold(True)
            painter.setFont(font)
            painter.setPen(ink)
            painter.drawText(QRectF(inside), Qt.AlignmentFlag.AlignCenter, key)

    return _icon(size, draw)


def ink_on(red: int, green: int, blue: int) -> QColor:
    """Return black or white, whichever has the higher contrast on a colour (WCAG 2)."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (red / 255, green / 255, blue / 255)
    ]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return QColor("black" if luminance > 0.179 else "white")


def padlock(locked: bool, size: QSize = _SWATCH) -> QIcon:
    """Return a padlock, closed or open; the open one is faint."""

    def draw(painter: QPainter) -> None:
        # Amber can be seen on the dark theme and the light one, grey too.
        colour = QColor("#d98e04" if locked else _GREY)
        painter.setOpacity(1.0 if locked else 0.6)
        painter.setPen(QPen(colour, 1.6))
        left = 4.0 if locked else 7.5
        painter.drawArc(QRectF(left, 1.2, 6.0, 8.0), 0, 180 * 16)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour)
        painter.drawRoundedRect(QRectF(2.0, 5.6, 10.0, 7.4), 1.5, 1.5)

    return _icon(size, draw)


def _icon(size: QSize, draw: Callable[[QPainter], None]) -> QIcon:
    """Draw an icon that is sharp on dense screens."""
    density = 3
    pixmap = QPixmap(size * density)
    pixmap.setDevicePixelRatio(density)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    draw(painter)
    painter.end()
    icon = QIcon(pixmap)
    # Qt would tint it in a selected row, where the colour matters most.
    icon.addPixmap(pixmap, QIcon.Mode.Selected)
    return icon


class ClassTable(QTableView):
    """Shows the classes; rows are picked with a click or the arrow keys."""

    picked = Signal(int)
    removal_requested = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.classes = ClassTableModel(self)
        self.setModel(self.classes)
        self.setObjectName("classes")
        self.setAccessibleName("Classes")
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(
            QAbstractItemView.EditTrigger.DoubleClicked
            | QAbstractItemView.EditTrigger.EditKeyPressed
        )
        self.setTabKeyNavigation(False)  # Tab leaves the table; the arrows go through it
        self.setShowGrid(False)
        self.setIconSize(_SWATCH)
        self.setWordWrap(False)
        self.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        rows, header = self.verticalHeader(), self.horizontalHeader()
        assert rows is not None
        assert header is not None
        rows.hide()
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(AREA, QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(LOCK, QHeaderView.ResizeMode.Fixed)
        header.setHighlightSections(False)
        # Flat, as the rest of napari; the colours stay the theme's.
        header.setStyleSheet(
            "QHeaderView::section { background: transparent; border: none; padding: 3px 4px; }"
        )
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        self.setColumnWidth(LOCK, _SWATCH.width() + 12)
        self._fit_font()
        self.clicked.connect(self._on_clicked)

    def changeEvent(self, event: QEvent | None) -> None:  # noqa: N802
        """Make room for letters of another size."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.FontChange:
            self._fit_font()

    def _fit_font(self) -> None:
        letters, rows = self.fontMetrics(), self.verticalHeader()
        height = max(24, letters.lineSpacing() + 8)
        if rows is not None:
            rows.setDefaultSectionSize(height)
        self.setColumnWidth(AREA, letters.horizontalAdvance("<00.0 %") + 16)
        self.setMinimumHeight(9 * height // 2)

    def current_class(self) -> ClassInfo | None:
        """Return the class of the current row."""
        return self.classes.class_at(self.currentIndex().row())

    def select_class(self, class_id: int) -> None:
        """Mark the row of a class."""
        row = self.classes.row_of(class_id)
        if row >= 0:
            self.selectRow(row)
        else:
            self.clearSelection()

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return the least size: the table takes what the other controls leave, and scrolls."""
        return QSize(super().sizeHint().width(), self.minimumHeight())

    def selected_label(self) -> int | None:
        """Return the label value of the current row, None if there is none."""
        return self.classes.label_at(self.currentIndex().row())

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802
        """Draw the rows, or what to do while there is none."""
        super().paintEvent(event)
        viewport = self.viewport()
        if self.classes.rowCount() > 1 or viewport is None:
            return
        painter = QPainter(viewport)
        painter.setOpacity(0.6)
        painter.drawText(
            viewport.rect().adjusted(12, self.rowHeight(0), -12, 0),
            Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap,
            "No classes yet.\nType their names above and press Enter.",
        )

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802
        """Remove the current class with Delete, pick it with Return, lock it with L."""
        info = self.current_class()
        editing = self.state() == QAbstractItemView.State.EditingState
        label = self.selected_label()
        enter = event is not None and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if enter and label is not None and not editing:
            self.picked.emit(label)
            return
        if event is not None and info is not None and not editing:
            if event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
                self.removal_requested.emit(info.id)
                return
            if event.key() == Qt.Key.Key_L:
                self.classes.lock_requested.emit(info.id, not self.classes.is_locked(info.id))
                return
        super().keyPressEvent(event)

    def _on_clicked(self, index: QModelIndex) -> None:
        info = self.classes.class_at(index.row())
        if info is not None and index.column() == LOCK:
            self.classes.lock_requested.emit(info.id, not self.classes.is_locked(info.id))
        elif (label := self.classes.label_at(index.row())) is not None:
            self.picked.emit(label)
