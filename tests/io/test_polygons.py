"""Polygons hold every pixel, also for pycocotools."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from napari_wildseg.io.masks.polygons import components, mask_to_polygons, polygon_to_mask

MASKS = arrays(bool, st.tuples(st.integers(1, 14), st.integers(1, 14)))


@given(MASKS)
def test_polygons_cover_a_mask_once(mask):
    covered = np.zeros(mask.shape, int)
    for polygon in mask_to_polygons(mask):
        covered += polygon_to_mask(polygon, mask.shape)
    assert (covered == mask).all()


@given(MASKS)
def test_pycocotools_fills_the_same_pixels(mask):
    polygons = [p.ravel().astype(float).tolist() for p in mask_to_polygons(mask)]
    if polygons:
        found = coco.decode(coco.merge(coco.frPyObjects(polygons, *mask.shape)))
        assert (found == mask).all()


def test_a_ring_in_a_ring():
    mask = np.ones((15, 15), bool)
    mask[2:13, 2:13] = False
    mask[4:11, 4:11] = True
    mask[6:9, 6:9] = False
    covered = sum(polygon_to_mask(p, mask.shape).astype(int) for p in mask_to_polygons(mask))
    assert (covered == mask).all()


def test_a_square_has_four_corners():
    mask = np.zeros((9, 9), bool)
    mask[2:5, 3:8] = True
    (polygon,) = mask_to_polygons(mask)
    assert sorted(map(tuple, polygon.tolist())) == [(3, 2), (3, 5), (8, 2), (8, 5)]


def test_components():
    mask = np.eye(3, dtype=bool)
    assert len(list(components(mask))) == 1
    assert len(list(components(mask, connectivity=1))) == 3
    assert list(components(np.zeros((2, 2), bool))) == []
    mask = np.zeros((6, 9), bool)
    mask[2:4, 5:8] = True
    [(top, left, region)] = components(mask)
    assert (top, left, region.shape) == (2, 5, (2, 3))


@given(MASKS)
def test_run_lengths_are_those_of_pycocotools(mask):
    from napari_wildseg.io.formats.coco import annotations_of
    from napari_wildseg.io.label_image import LabelImage

    labels = LabelImage.from_array(mask.astype(np.uint8))
    total = np.zeros(mask.shape, int)
    for entry in annotations_of(labels, 1, 1, "component", "rle"):
        part = coco.decode(entry["segmentation"])
        total += part
        plain = coco.encode(np.asfortranarray(part))
        assert entry["segmentation"]["counts"] == plain["counts"].decode()
        assert entry["bbox"] == coco.toBbox(plain).tolist()
        assert entry["area"] == part.sum()
    assert (total == mask).all()
