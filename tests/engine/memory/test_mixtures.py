"""The gate opens for gains that hold, not for those of one lucky mixture."""

import numpy as np
import pytest

from napari_wildseg.engine.memory.mixtures import (
    ALPHAS,
    BETAS,
    MIXTURES,
    MixtureChoice,
    lower_bound,
    smoothed,
)


class Judged:
    """An image with one class, of which the IoUs by mixture are given."""

    digest, keys, keys_known, known = "", ("elephant",), ["elephant"], np.array([True])

    def __init__(self, ious):
        self._ious = np.asarray(ious).ravel()

    def ious(self, mixtures):
        return np.array([0.9, self._ious[mixtures["elephant"]]])


def chosen(*images):
    return MIXTURES[
        MixtureChoice([Judged(ious) for ious in images], {"elephant": 0})
        .improved()
        .mixtures["elephant"]
    ]


def cliff(good):
    """Return IoUs that one mixture raises, and all with more of an expert lower."""
    ious = np.full((len(BETAS), len(ALPHAS)), 0.1)
    ious[0], ious[1] = [0.5, 0.5, 0.3], [0.5, good, 0.3]
    return ious


def test_a_mixture_beside_a_cliff_is_not_used_on_the_word_of_few_images():
    images = [cliff(0.75), cliff(0.7), cliff(0.72)]
    gains = np.array([image[1, 1] - image[0, 0] for image in images])
    assert lower_bound(gains) > 0  # it would pass alone
    assert chosen(*images) == (0, 0)


def test_it_is_used_on_the_word_of_many():
    assert chosen(*[cliff(0.75)] * 30) == (0.5, 0.25)


@pytest.mark.parametrize("images", [3, 30])
def test_a_gain_that_its_neighbours_share_is_used(images):
    ious = np.full((len(BETAS), len(ALPHAS)), 0.5)
    ious[2:] = 0.8
    assert chosen(*[ious] * images)[1] >= 0.5


def test_one_image_decides_nothing():
    ious = np.full((len(BETAS), len(ALPHAS)), 0.9)
    ious[0, 0] = 0.1
    assert chosen(ious) == (0, 0)
    assert MixtureChoice([], {"elephant": 3}).improved().mixtures == {"elephant": 0}


def test_neighbours_count_as_one_image_each():
    gains = np.zeros((len(MIXTURES), 2))
    middle = MIXTURES.index((0.5, 0.5))
    gains[middle] = 1.0
    found = smoothed(gains)
    np.testing.assert_allclose(found[middle], 2 / (2 + 4))
    beside = MIXTURES.index((0.0, 0.5))  # at the border: three neighbours
    np.testing.assert_allclose(found[beside], 1 / (2 + 3))
    assert found[MIXTURES.index((0.0, 0.25))].tolist() == [0, 0]
