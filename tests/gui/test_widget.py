"""The widget as a whole: its controls, the whole job, its looks."""

from __future__ import annotations

import numpy as np
import pytest
from napari.settings import get_settings
from qtpy.QtCore import Qt
from qtpy.QtGui import QPalette
from qtpy.QtWidgets import QApplication, QLabel, QScrollArea, QWidget

from napari_wildseg.gui.controls.focus import _tab_stops

from .annotator import NAMES

CONTROLS = (
    *("image", "model", "classes", "new_class", "suggest", "auto_segment", "cancel", "refine"),
    *("confirm_region", "export", "threshold", "status", "refine_at_once", "more"),
)


def test_the_state_line_says_what_to_do_first(desk, photo):
    d = desk()
    assert "Open an image" in d.status
    d.viewer.add_image(photo, name="coffee")
    assert "Type what is in the image" in d.status
    d.type_names(NAMES)
    assert "press Auto-segment" in d.status
    assert d.control("classes").model().rowCount() == 4


def test_every_control_can_be_reached_and_has_a_name_and_a_tooltip(desk, photo):
    d = desk(photo, NAMES)
    d.controller.session.suggestions = [("dog", 0.9), ("cat", 0.6)]
    d.controller.classes_changed.emit()
    for name in CONTROLS:
        assert d.control(name).toolTip(), name
    stops = list(_tab_stops(d.widget))
    ids = {id(control) for control in stops}
    assert {"screen_brush", "vocabulary", "batch_start", "review_next", "help", "open_sample"} <= {
        control.objectName() for control in stops
    }
    labels = {label.buddy(): label.text() for label in d.widget.findChildren(QLabel)}
    for control in stops:
        own = getattr(control, "text", lambda: "")()
        # Three dots are no name.
        words = own if any(map(str.isalpha, str(own))) else ""
        assert control.accessibleName() or words or labels.get(control), control.objectName()
        assert control.toolTip(), control.objectName()
    for control in d.widget.findChildren(QWidget):  # nothing that takes keys was forgotten
        above = control
        while above is not None and id(above) not in ids:
            above = above.parentWidget()
        if above is None and not isinstance(control, QScrollArea):
            assert not control.focusPolicy() & Qt.FocusPolicy.TabFocus, control.objectName()


def contrast(one, other):
    """Contrast of two RGB colours from 0 to 255 (WCAG)."""

    def luminance(colour):
        parts = np.array(colour[:3]) / 255
        linear = np.where(parts <= 0.03928, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722))

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_text_and_icons_stand_out(theme):
    """The widget's own colours are the theme's: 4.5 to 1 for text, 3 to 1 for icons (WCAG AA)."""
    from napari.utils.theme import get_theme

    colours = get_theme(theme)
    # What is behind the controls: the dock, fields and buttons, pressed, hovered, chosen.
    for ground in ("background", "foreground", "primary", "secondary", "highlight"):
        behind = getattr(colours, ground).as_rgb_tuple()
        assert contrast(colours.text.as_rgb_tuple(), behind) >= 4.5, ground
        assert contrast(colours.icon.as_rgb_tuple(), behind) >= 3, ground


def test_narrow_and_both_themes(new_viewer, desk, photo):
    d = desk(photo, NAMES, viewer=new_viewer(show=True))
    d.run("auto_segment")
    sections = d.widget.image.parentWidget()
    for theme in ("light", "dark"):
        d.viewer.theme = theme
        QApplication.processEvents()
        palette = d.control("new_class").palette()
        *hint, opacity = palette.color(QPalette.ColorRole.PlaceholderText).getRgb()
        ground = np.array(palette.color(QPalette.ColorRole.Base).getRgb()[:3])
        seen = np.array(hint) * opacity / 255 + ground * (1 - opacity / 255)
        assert contrast(seen, ground) >= 4.5
    d.viewer.layers["Image"].name = "a very long name of a layer " * 4
    assert d.widget.minimumSizeHint().width() <= 250
    # The sections never scroll sideways, not even beside a vertical scroll bar.
    assert sections.minimumSizeHint().width() <= 250 - 16 - 12


def test_letters_of_the_preferences_reach_every_control(new_viewer, desk, photo, qtbot):
    d = desk(photo, NAMES, viewer=new_viewer(show=True))
    d.run("auto_segment")
    sections = d.widget.image.parentWidget()
    in_view = sections.parentWidget()
    appearance = get_settings().appearance
    usual = appearance.font_size
    controls = [d.control(n) for n in ("new_class", "classes", "objects_table", "status", "refine")]
    try:
        for size in (2 * usual, usual):
            appearance.font_size = size
            letters = {control.fontInfo().pointSize() for control in controls}
            assert letters <= {size, size + 1}  # napari's buttons have larger ones
            table = d.control("classes")
            assert table.rowHeight(0) > table.fontMetrics().lineSpacing()
            qtbot.waitUntil(lambda: sections.minimumSizeHint().width() <= in_view.width())
            assert d.widget.minimumSizeHint().width() <= 1366 // 2
    finally:
        appearance.font_size = usual
