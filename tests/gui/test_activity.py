"""The bar in napari's activity dock."""

from __future__ import annotations

from napari.utils import progress

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
    assert done == ["held", "made"]
    qtbot.waitUntil(lambda: done == ["held", "made", "drawn"])
    shown.close()


def test_a_job_that_ends_while_its_bar_is_made_leaves_none(monkeypatch):
    """napari processes events while it makes a bar; the end of the job may be among them."""
    monkeypatch.setattr(activity, "PATIENCE", 0)
    shown = activity.Activity("Auto-segment", lambda: None)

    class Ends(activity._Bar):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            shown.close()

    monkeypatch.setattr(activity, "_Bar", Ends)
    shown.show(Progress(1, 3, "Encoding"))
    assert not progress._all_instances
    shown.show(Progress(2, 3, "Encoding"))
    assert not progress._all_instances


def test_a_job_that_reports_while_its_bar_is_made_gets_one_bar(monkeypatch):
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

        def update(self, by):
            self.n += by

        def close(self):
            self.is_open = False

    monkeypatch.setattr(activity, "_Bar", Slow)
    shown = activity.Activity("Auto-segment", lambda: None)
    shown.show(Progress(1, 3, "earlier"))
    shown.close()
    assert [bar.is_open for bar in made] == [False]
