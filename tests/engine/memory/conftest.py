"""A small series of pictures, and a segmenter that has a memory."""

from __future__ import annotations

import numpy as np
import pytest

from napari_wildseg.engine.memory import ClassMemory
from napari_wildseg.engine.segmenter import Segmenter

NAMES = "red blob, lawn"


def picture(seed, shape=(48, 64)):
    """Return a picture with blobs of two classes, and its true labels."""
    random = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint8)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    for value in (1, 2, 1, 2):
        row, column = random.integers(8, shape[0] - 8), random.integers(8, shape[1] - 8)
        labels[(rows - row) ** 2 + (columns - column) ** 2 <= random.integers(25, 80)] = value
    colours = np.array([(110, 110, 110), (200, 40, 40), (40, 160, 60)])
    noise = random.normal(0, 12, (*shape, 3))
    return (colours[labels] + noise).clip(0, 255).astype(np.uint8), labels


@pytest.fixture
def make_segmenter(small_model):
    def make(memory=None, **options):
        options = {"views": "single", "background": (), **options}
        return Segmenter(small_model("RN"), memory=memory, **options)

    return make


@pytest.fixture(scope="session")
def known_records():
    """Records of pictures that were made already; nobody changes them."""
    return {}


@pytest.fixture
def remembering(make_segmenter, known_records):
    """Return a memory of some pictures, each recorded once unless it is to be done `anew`."""

    def make(seeds, *, finished=True, alike=False, names=NAMES, anew=False):
        segmenter = make_segmenter(ClassMemory(alike=alike))
        for seed in seeds:
            found = None if anew else known_records.get((seed, finished, names))
            if found is None:
                image, labels = picture(seed)
                segmenter.set_image(image)
                segmenter.segment(names, refine=False)
                found = segmenter.remember(labels=labels, finished=finished, name=f"{seed}.png")
                known_records[seed, finished, names] = found
            segmenter.memory.add(found, segmenter.source)
        return segmenter.memory

    return make
