"""Large planes in the widget: windows and tiles, read box by box, corrected as any other."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from skimage import data
from skimage.transform import resize

from napari_wildseg.engine.classes import parse_classes
from napari_wildseg.engine.large import LargeSegmenter
from napari_wildseg.engine.progress import drain
from napari_wildseg.gui.layers import display
from napari_wildseg.process import windowed
from napari_wildseg.process.windowed import WindowedSegmenter


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
    assert segmenter._windowed
    rows, columns = (a.ravel() for a in np.mgrid[10:30, 10:40])
    labels.data_setitem((rows, columns), 1)
    d.run("refine")
    assert (labels.data[10:30, 10:40] == 1).all()


def test_pseudo_labels_are_made_anew_only_for_another_threshold_or_other_names(
    starter, large, monkeypatch
):
    made = []
    find = LargeSegmenter.pseudo_labels

    def remember(self, box, threshold):
        made.append(threshold)
        return find(self, box, threshold)

    monkeypatch.setattr(LargeSegmenter, "pseudo_labels", remember)
    segmenter = WindowedSegmenter(starter, threshold=0.5, views="single")
    segmenter._large.set_image(np.asarray(large))
    first = drain(segmenter.segment_steps(parse_classes("cat"), threshold=0.5, refine=True))
    assert made == [0.5]
    corrections = np.full((400, 500), -1, np.int16)
    corrections[10:30, 10:40] = 1
    corrected = drain(segmenter.refine_steps(corrections))
    assert made == [0.5]
    np.testing.assert_array_equal(corrected.pseudo_labels, first.pseudo_labels)
    assert (corrected.labels != first.labels).any()
    segmenter.threshold = 0.3
    lower = drain(segmenter.refine_steps(corrections))
    assert made == [0.5, 0.3]
    assert (lower.pseudo_labels != first.pseudo_labels).any()
    other = drain(segmenter.segment_steps(parse_classes("sofa"), threshold=0.3, refine=True))
    assert made == [0.5, 0.3, 0.3]
    assert (other.pseudo_labels != lower.pseudo_labels).any()


def test_the_map_of_a_very_large_plane_is_coarser(monkeypatch):
    """napari is handed a fraction of the pixels; the cells tile the plane."""
    monkeypatch.setattr(windowed, "MAP_SIDE", 120)
    coarse = np.linspace(0, 1, 20, dtype=np.float32).reshape(1, 4, 5)
    assert windowed._RelevanceMaps(coarse, (400, 500))[0].shape == (96, 120)
