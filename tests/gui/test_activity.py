"""The bar in napari's activity dock."""

from __future__ import annotations

from napari.utils import progress

from napari_wildseg.engine.progress import Progress
from napari_wildseg.gui import activity


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
