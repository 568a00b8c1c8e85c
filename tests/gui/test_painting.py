"""What is drawn while a job runs, and what is not."""

from __future__ import annotations

from qtpy.QtGui import QMovie
from qtpy.QtWidgets import QLabel

from napari_wildseg.engine.progress import Progress
from napari_wildseg.gui import activity


def movies_of(viewer):
    labels = viewer.window._qt_window.statusBar().findChildren(QLabel)
    return [label.movie() for label in labels if label.movie() is not None]


def test_napari_s_spinner_stands_still_while_a_job_has_its_bar(make_napari_viewer, monkeypatch):
    """Each of its pictures has the whole window composed anew."""
    viewer = make_napari_viewer()
    monkeypatch.setattr(activity, "PATIENCE", 0)
    shown = activity.Activity("Auto-segment", lambda: None)
    shown.show(Progress(1, 3, "Encoding"))
    states = [movie.state() for movie in movies_of(viewer)]
    assert states == [QMovie.MovieState.Paused]
    shown.show(Progress(2, 3, "Encoding"))
    assert [movie.state() for movie in movies_of(viewer)] == states
    shown.close()
    # Whether it is shown at all is napari's affair again.
    assert [movie.state() for movie in movies_of(viewer)] != states
