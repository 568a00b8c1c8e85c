"""A pixel classifier as in ilastik and Labkit: the baseline of `series_steps`."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TREES = 60
_MAX_PIXELS = 1500
"""Largest number of pixels sampled per class and image."""


@dataclass
class PixelForest:
    """A random forest on multi-scale filters, fitted to the labels of all images so far.

    References
    ----------
    Berg et al., *ilastik: interactive machine learning for (bio)image analysis*, Nature Methods
    2019.
    """

    # Of each image: ``(n, F)`` float32 filter responses and ``(n,)`` class names, ``""`` for
    # background.
    samples: list[tuple[NDArray[np.float32], NDArray[np.str_]]] = field(default_factory=list)

    def learn(
        self, features: NDArray[np.float32], labels: NDArray[np.integer[Any]], names: dict[int, str]
    ) -> None:
        """Keep samples of an image.

        `features`: ``(H, W, F)`` float32, what `pixel_features` gave; `labels`: ``(H, W)``
        integers; pixels with other values than 0 and those of ``names`` are left.
        """
        self.samples.append(_sample(features, labels, names))

    def predict(
        self,
        features: NDArray[np.float32],
        names: dict[int, str],
        corrections: NDArray[np.int16] | None = None,
    ) -> NDArray[np.uint8]:
        """Label an image.

        `features`: ``(H, W, F)`` float32; `corrections`: ``(H, W)`` int16, -1 where there is none:
        learned as well, for this image alone, and kept in the result; returns ``(H, W)`` uint8: 0
        or the value of a class.
        """
        from sklearn.ensemble import RandomForestClassifier

        samples = list(self.samples)
        if corrections is not None:
            samples.append(_sample(features, corrections, names))
        values = {"": 0, **{name: value for value, name in names.items()}}
        kept = [(x[use], y[use]) for x, y in samples for use in [np.isin(y, list(values))]]
        labels = np.zeros(features.shape[:2], np.uint8)
        known = np.unique(np.concatenate([y for _, y in kept])) if kept else np.array([])
        if len(known) == 1:
            labels[:] = values[str(known[0])]
        elif len(known) > 1:
            forest = RandomForestClassifier(_TREES, class_weight="balanced", random_state=0)
            forest.fit(np.concatenate([x for x, _ in kept]), np.concatenate([y for _, y in kept]))
            table = np.array([values[str(name)] for name in forest.classes_], np.uint8)
            flat = features.reshape(-1, features.shape[-1])
            labels = table[forest.predict_proba(flat).argmax(1)].reshape(labels.shape)
        if corrections is not None:
            labels = np.where(corrections >= 0, corrections, labels).astype(np.uint8)
        return labels


def pixel_features(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return intensity, edges and texture of every pixel at scales of 1 to 8 pixels.

    `image`: ``(H, W, 3)`` uint8; one channel is enough where all are alike; returns ``(H, W, F)``
    float32.
    """
    from skimage.feature import multiscale_basic_features

    grey = (image == image[..., :1]).all()
    found = multiscale_basic_features(
        image[..., 0] if grey else image,
        sigma_min=1,
        sigma_max=8,
        channel_axis=None if grey else -1,
    )
    return np.asarray(found, np.float32)


def _sample(
    features: NDArray[np.float32], labels: NDArray[np.integer[Any]], names: dict[int, str]
) -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    """Sample up to `_MAX_PIXELS` pixels of each class, deterministically."""
    generator = np.random.default_rng(0)
    rows, classes = [], []
    flat = labels.ravel()
    for value, name in [(0, ""), *sorted(names.items())]:
        found = np.flatnonzero(flat == value)
        if len(found) > _MAX_PIXELS:
            found = np.sort(generator.choice(found, _MAX_PIXELS, replace=False))
        rows.append(found)
        classes += [name] * len(found)
    chosen = features.reshape(-1, features.shape[-1])[np.concatenate(rows)]
    return chosen, np.array(classes, dtype=str)
