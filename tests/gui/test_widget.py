"""The widget as a whole: its controls, the whole job, its looks."""

from __future__ import annotations

import json

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QPalette
from qtpy.QtWidgets import QApplication, QLabel, QScrollArea, QWidget

from napari_wildseg.gui.controls.export_dialog import ExportDialog
from napari_wildseg.gui.controls.focus import _stops
from napari_wildseg.gui.export import Choice

from .annotator import NAMES, paint, wrong_spot

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


def test_the_whole_job(desk, photo, tmp_path, monkeypatch):
    """Auto-segment, paint, Refine, undo, redo, Export, read back."""
    d = desk(photo, NAMES, name="coffee", scale=(0.5, 0.25), units=("mm", "mm"))
    d.run("auto_segment")
    labels, pseudo = d.layer(), d.layer(" pseudo-labels")
    assert labels.visible
    assert not pseudo.visible
    assert d.viewer.layers.selection.active is labels
    assert set(np.unique(labels.data)) <= {0, 1, 2, 3}
    assert len(np.unique(labels.data)) > 1
    assert set(np.unique(pseudo.data)) <= {0, 1, 2, 3, 255}
    assert labels.features["class"].tolist() == [
        "background",
        "cup of coffee",
        "spoon",
        "table",
        "not sure",
    ]
    assert tuple(labels.scale) == (0.5, 0.25)
    assert labels.units == d.viewer.layers["coffee"].units

    spot = wrong_spot(labels, 2)
    painted = paint(labels, spot, 2)
    assert painted.any()
    before = labels.data.copy()
    d.run("refine")
    assert (labels.data[painted] == 2).all()
    assert "corrected pixels kept" in d.status
    after = labels.data.copy()
    if (after != before).any():
        labels.undo()
        assert (labels.data == before).all(), "one Ctrl+Z brings back the state before Refine"
        labels.redo()
    assert (labels.data == after).all()

    target = tmp_path / "out.png"
    monkeypatch.setattr(ExportDialog, "ask", lambda _: Choice("png", tmp_path, "out"))
    d.run("export")
    from napari_wildseg.io import read_labels

    back = read_labels(target)
    assert (back.labels == labels.data).all()
    assert [c.name for c in back.classes] == ["cup of coffee", "spoon", "table"]
    about = json.loads(target.with_suffix(".json").read_text())
    assert about["image"] == "coffee"
    assert about["scale"] == [0.5, 0.25]
    assert "Exported out.png" in d.status


def test_every_control_can_be_reached_and_has_a_name_and_a_tooltip(desk, photo):
    d = desk(photo, NAMES)
    d.controller.session.suggestions = [("dog", 0.9), ("cat", 0.6)]
    d.controller.classes_changed.emit()
    for name in CONTROLS:
        assert d.control(name).toolTip(), name
    stops = list(_stops(d.widget))
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
    font = d.widget.font()
    font.setPointSizeF(2 * font.pointSizeF())
    for control in (d.widget, *d.widget.findChildren(QWidget)):
        control.setFont(font)
    QApplication.processEvents()
    assert d.widget.minimumSizeHint().width() <= 1366 // 2, "twice the size of letters"
