"""The pixel classifier: what is finer than a superpixel.

Small networks (scikit-learn's multi-layer perceptron) on multi-scale filters of the pixel and the
image-text model's features of its superpixel. They are fitted in double precision, so that the
number of threads does not show in the labels. Their cost does not grow with the number of classes.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.memory.records import WEAK, ImageRecord, name_key

SAMPLES = 12_000
"""Pixels that a classifier is fitted to, at most."""

NETWORKS = 2
"""Networks whose probabilities are averaged; they differ in their random start."""

HIDDEN = (64, 32)
"""Units of the hidden layers."""

EPOCHS = 12

Label = tuple[str, frozenset[str]]
"""A class by its key, or background (an empty key) with the keys that it is known not to be."""


class PixelClassifier:
    """Predicts probabilities of all remembered classes.

    An image says of its background only that it is none of the classes it was asked for. So
    background is one label for each list of classes that was asked, and a class is weighed against
    those labels alone that exclude it.
    """

    def __init__(
        self,
        records: Sequence[ImageRecord],
        *,
        samples: int = SAMPLES,
        networks: int = NETWORKS,
        epochs: int = EPOCHS,
    ) -> None:
        labels: list[Label] = []
        rows, targets, weights = [], [], []
        each = samples // max(1, len(records))
        for record in records:
            share = 1.0 if record.finished else WEAK
            # Samples are in random order, so that the first are as good as any.
            count = max(1, min(each, int(share * len(record.pixel_labels))))
            rows.append(sample_features(record, count))
            own = labels_of(record)
            labels += [label for label in own if label not in labels]
            table = np.array([labels.index(label) for label in own])
            targets.append(table[record.pixel_labels[:count]])
            weights.append(record.pixel_weights[:count] / record.pixel_weights[:count].sum())
        inputs = np.concatenate(rows).astype(np.float64)
        target = np.concatenate(targets)
        present = np.unique(target)
        self.labels = [labels[i] for i in present]
        # Rare labels are sampled more often than they are met; that is undone half way, since
        # small classes gain from even labels and single classes from labels as they are met.
        sampled = np.bincount(target)[present] / len(target)
        met = np.bincount(target, np.concatenate(weights))[present] / len(rows)
        self._weights = np.sqrt(met / sampled).astype(np.float32)
        self._mean = inputs.mean(0)
        self._scale = 1 / (inputs.std(0) + 1e-3)
        self._networks: list[list[tuple[NDArray[np.float32], NDArray[np.float32]]]] = []
        if len(present) > 1:
            inputs = (inputs - self._mean) * self._scale
            self._networks = [_fit(inputs, target, seed, epochs) for seed in range(networks)]

    def covers(self, name: str) -> bool:
        """Return whether any label is of a class."""
        return bool(self._networks) and name_key(name) in {own for own, _ in self.labels}

    def probabilities(
        self,
        names: Sequence[str],
        features: NDArray[np.float32],
        filters: NDArray[np.float32],
        index: NDArray[np.integer],
    ) -> NDArray[np.float32]:
        """Predict the classes of pixels.

        `features`: ``(n, C)`` float32 of the superpixels; `filters`: ``(m, FILTERS)`` float32 of
        the pixels; `index`: ``(m,)`` the superpixel of each pixel; returns ``(m, K)`` float32;
        NaN for a name that no label is of.
        """
        found = np.full((len(filters), len(names)), np.nan, np.float32)
        if not self._networks:
            return found
        width = features.shape[1]
        mean, scale = self._mean.astype(np.float32), self._scale.astype(np.float32)
        superpixels, pixels = (features - mean[:width]) * scale[:width], (filters - mean[width:])
        pixels *= scale[width:]
        total = np.zeros((len(filters), len(self.labels)), np.float32)
        for layers in self._networks:
            weights, bias = layers[0]
            # Pixels of a superpixel share its part of the first layer.
            values = pixels @ weights[width:] + (superpixels @ weights[:width] + bias)[index]
            for weights, bias in layers[1:]:
                values = np.maximum(values, 0, out=values) @ weights + bias
            values -= values.max(1, keepdims=True)
            np.exp(values, out=values)
            values *= self._weights
            total += values / values.sum(1, keepdims=True)
        for column, name in enumerate(names):
            key = name_key(name)
            columns = [i for i, (own, _) in enumerate(self.labels) if own == key]
            relevant = [i for i, (own, none) in enumerate(self.labels) if own or key in none]
            if columns:
                part = total[:, relevant].sum(1)
                found[:, column] = total[:, columns].sum(1) / np.maximum(part, 1e-6)
        return found


def labels_of(record: ImageRecord) -> list[Label]:
    """Return the label of each place in a record's list, background first."""
    keys = [name_key(name) for name in record.classes]
    return [("", frozenset(keys)), *((key, frozenset()) for key in keys)]


def sample_features(record: ImageRecord, count: int | None = None) -> NDArray[np.float32]:
    """Return the inputs of a record's first sampled pixels, ``(count, C + FILTERS)`` float32."""
    features = record.features[record.pixel_pieces[:count]]
    return np.concatenate([features, record.filters[:count]], axis=1).astype(np.float32)


def _fit(
    inputs: NDArray[np.float64], target: NDArray[np.integer], seed: int, epochs: int
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Return weights and bias of each layer of a fitted network."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    network = MLPClassifier(
        HIDDEN,
        alpha=1.0,
        batch_size=min(256, len(inputs)),
        learning_rate_init=2e-3,
        max_iter=epochs,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is stopped early on purpose
        network.fit(inputs, target)
    layers = [
        (weights.astype(np.float32), bias.astype(np.float32))
        for weights, bias in zip(network.coefs_, network.intercepts_, strict=True)
    ]
    if layers[-1][0].shape[1] == 1:  # two labels share one output: their log odds
        weights, bias = layers[-1]
        layers[-1] = (np.pad(weights, ((0, 0), (1, 0))), np.pad(bias, (1, 0)))
    return layers
