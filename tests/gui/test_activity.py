"""The bar in napari's activity dock."""

from __future__ import annotations

from napari.utils import progress
from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QApplication, QWidget

from napari_wildseg.engine.progress import Progress
from napari_wildseg.gui import activity


def test_the_window_is_drawn_in_a_later_turn(monkeypatch, qtbot):
    """napari has the window drawn while it makes a bar, which would hold it up twice as long."""
    monkeypatch.setattr(activity, "PATIENCE", 0)
    done = []

    def hold():
        done.append("held")
        return lambda: done.append("drawn")

    class Bar(activity._Bar):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            done.append("made")

    monkeypatch.setattr(activity, "hold_painting", hold)
    monkeypatch.setattr(activity, "_Bar", Bar)
    shown = activity.Activity("Auto-segment", lambda: None)
    shown.show(Progress(1, 3, "Encoding"))
    assert done == ["held"]
    qtbot.waitUntil(lambda: done == ["held", "made", "drawn"])
    shown.close()


def test_a_job_that_ends_while_its_bar_is_made_leaves_none(monkeypatch, qtbot):
    """napari processes events while it makes a bar; the end of the job may be among them."""
    monkeypatch.setattr(activity, "PATIENCE", 0)
    shown = activity.Activity("Auto-segment", lambda: None)

    made = []

    class Ends(activity._Bar):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            made.append(self)
            shown.close()

    monkeypatch.setattr(activity, "_Bar", Ends)
    shown.show(Progress(1, 3, "Encoding"))
    qtbot.waitUntil(lambda: bool(made))
    assert not progress._all_instances
    shown.show(Progress(2, 3, "Encoding"))
    assert not progress._all_instances


def test_a_job_that_ends_before_its_bar_is_made_gets_none(monkeypatch, qtbot):
    monkeypatch.setattr(activity, "PATIENCE", 0)
    drawn = []
    monkeypatch.setattr(activity, "hold_painting", lambda: lambda: drawn.append(True))
    shown = activity.Activity("Auto-segment", lambda: None)
    shown.show(Progress(1, 3, "Encoding"))
    shown.close()
    qtbot.waitUntil(lambda: bool(drawn))
    assert not progress._all_instances


def test_a_job_that_reports_while_its_bar_is_made_gets_one_bar(monkeypatch, qtbot):
    """napari processes events while it makes a bar; reports may be among them."""
    monkeypatch.setattr(activity, "PATIENCE", 0)
    made = []

    class Slow:
        total, desc, n = 3, "", 0

        def __init__(self, **options):
            made.append(self)
            self.is_open = True
            if len(made) == 1:
                shown.show(Progress(2, 3, "later"))

        def set_description(self, text):
            self.desc = text

        def offer_cancel(self):
            pass

        def update(self, by):
            self.n += by

        def close(self):
            self.is_open = False

    monkeypatch.setattr(activity, "_Bar", Slow)
    shown = activity.Activity("Auto-segment", lambda: None)
    shown.show(Progress(1, 3, "earlier"))
    shown.show(Progress(2, 3, "between"))
    qtbot.waitUntil(lambda: bool(made))
    shown.show(Progress(2, 3, "then"))
    shown.close()
    assert [bar.is_open for bar in made] == [False]


class Windows(QObject):
    """Notes what becomes a window of its own."""

    def __init__(self):
        super().__init__()
        self.seen: list[QObject] = []

    def eventFilter(self, watched, event):  # noqa: N802
        if event.type() == QEvent.Type.Show and isinstance(watched, QWidget) and watched.isWindow():
            self.seen.append(watched)
        return False


def test_the_cancel_button_cancels_and_never_is_a_window_of_its_own(
    make_napari_viewer, monkeypatch, qtbot
):
    monkeypatch.setattr(activity, "PATIENCE", 0)
    viewer = make_napari_viewer()
    windows, stopped = Windows(), []
    QApplication.instance().installEventFilter(windows)
    shown = activity.Activity("Auto-segment", lambda: stopped.append(True))
    shown.show(Progress(1, 3, "Encoding"))
    dialog = viewer.window._qt_window._activity_dialog
    qtbot.waitUntil(lambda: bool(progress._all_instances))
    (bar,) = progress._all_instances
    drawn = dialog.get_pbar_from_prog(bar)
    assert drawn.description_label.text() == "Encoding: "
    button = drawn.cancel_button
    assert button.isVisibleTo(drawn)
    for number in range(2, 20):
        shown.show(Progress(number, 20, f"Encoding view {number} of 20"))
        assert button.isVisibleTo(drawn)
        assert drawn.sizeHint().width() < 420, "the button is in view"
        assert drawn.eta_label.text() == f"{number}/20"
    assert drawn.qt_progress_bar.value() == 19
    QApplication.instance().removeEventFilter(windows)
    assert windows.seen == []
    button.click()
    assert stopped == [True]
    shown.close()
