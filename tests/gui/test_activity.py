"""The bar in napari's activity dock."""

from __future__ import annotations

import pytest
from napari.utils import progress

from napari_wildseg.engine.progress import Progress
from napari_wildseg.gui.jobs import runner


@pytest.fixture
def bars(monkeypatch, qapp):
    """The bars that were made; a job gets one at once."""
    made = []

    class Bar(runner._Bar):
        on_made = staticmethod(lambda: None)

        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            made.append(self)
            Bar.on_made()

    monkeypatch.setattr(runner, "DELAY", 0)
    monkeypatch.setattr(runner, "_Bar", Bar)
    yield made
    assert not progress._all_instances


def test_a_bar_follows_the_job_and_its_button_cancels_it(bars):
    stopped = []
    shown = runner.Activity("Auto-segment", lambda: stopped.append(True))
    shown.show(Progress(1, 3, "Encoding"))
    shown.show(Progress(2, 5, "Encoding view 2 of 5"))
    (bar,) = bars
    assert (bar.n, bar.total, bar.desc) == (2, 5, "Encoding view 2 of 5: ")
    bar.cancel()
    assert stopped == [True]
    shown.close()
    shown.close()


def test_a_short_job_gets_none(bars, monkeypatch):
    monkeypatch.setattr(runner, "DELAY", 60)
    shown = runner.Activity("Refine", lambda: None)
    shown.show(Progress(1, 3, ""))
    shown.close()
    assert not bars


def test_a_job_that_ends_or_reports_while_its_bar_is_made_leaves_none(bars, monkeypatch):
    """napari processes events while it makes a bar; reports and the end may be among them."""
    shown = runner.Activity("Auto-segment", lambda: None)

    def meanwhile():
        shown.show(Progress(2, 3, "later"))
        shown.close()

    monkeypatch.setattr(runner._Bar, "on_made", staticmethod(meanwhile))
    shown.show(Progress(1, 3, "earlier"))
    shown.show(Progress(3, 3, "too late"))
    assert len(bars) == 1
