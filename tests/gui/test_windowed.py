"""Large planes in the widget: windows and tiles, read box by box, corrected as any other."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from skimage import data
from skimage.transform import resize

from napari_wildseg.gui import display


@pytest.fixture
def large(monkeypatch):
    """A photograph that counts as large, lazily read."""
    monkeypatch.setattr(display, "WINDOWED", 300 * 300)
    photo = (resize(data.chelsea(), (400, 500)) * 255).astype(np.uint8)
    return da.from_array(photo, chunks=(100, 100, 3))


def test_a_large_plane_is_segmented_and_corrected(desk, large):
    d = desk()
    d.viewer.add_image(large, name="big", rgb=True, contrast_limits=(0, 255))
    d.type_names("cat")
    d.run("auto_segment")
    labels = d.layer()
    assert labels.data.shape == (400, 500)
    assert (labels.data[120:280, 150:350] == 1).mean() > 0.4
    segmenter = d.controller.session.plane_state(d.controller.plane).slot.segmenter
    assert type(segmenter).__name__ == "WindowedSegmenter"
    rows, columns = (a.ravel() for a in np.mgrid[10:30, 10:40])
    labels.data_setitem((rows, columns), 1)
    d.run("refine")
    assert (labels.data[10:30, 10:40] == 1).all()
