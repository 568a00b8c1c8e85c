"""What is kept of a remembered image: samples of its superpixels, with their labels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_wildseg.engine.classes import UNLABELLED
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.memory.filters import FILTERS, filter_bank
from napari_wildseg.engine.refine.default import DefaultRefinement
from napari_wildseg.engine.refine.learning.observe import count_in_superpixels
from napari_wildseg.engine.refine.learning.reach import shrink_labels
from napari_wildseg.engine.refine.superpixels import Superpixels

SUPERPIXELS = 500
"""Superpixels kept of an image, at most."""

PIXELS = 3000
"""Pixels kept of an image, at most; all of them in those superpixels."""

THRESHOLD = 0.5
"""The threshold at which relevance maps are turned into probabilities, in records and later."""

WEAK = 0.3
"""What an image that was only corrected counts, compared with a finished one."""

GUESS = 0.1
"""What a label of an unfinished image counts that the annotator did not paint."""


ARRAYS = {
    "features": np.float16,
    "colours": np.float16,
    "prior": np.float16,
    "shares": np.float16,
    "weights": np.float32,
    "filters": np.float16,
    "pixel_pieces": np.uint16,
    "pixel_labels": np.uint8,
    "pixel_weights": np.float32,
}
"""Arrays of a record and their types."""


@dataclass(frozen=True)
class Source:
    """What features and maps depend on; a memory holds records of one source."""

    model: str  # the model string, for messages
    fingerprint: str  # `CLIPModel.fingerprint`, which identifies the weights
    method: str  # name of the relevance method
    views: str  # preset of test-time augmentation


@dataclass(frozen=True, eq=False)
class ImageRecord:
    """Samples of one image."""

    digest: str  # `record_digest` of the image: the key of the record
    name: str  # what the annotator knows the image by; may be empty
    finished: bool  # whether all its labels are right; else only corrected pixels are known
    # The K names that the image was segmented into. It teaches nothing of others.
    classes: tuple[str, ...]
    # ``(n, C)`` float16 unit rows: the network's features of each superpixel.
    features: NDArray[np.float16]
    # ``(n, 3)`` float16 CIE Lab, relative to the image's mean and spread.
    colours: NDArray[np.float16]
    # ``(n, K + 1)`` float16 probabilities from the relevance maps, background first.
    prior: NDArray[np.float16]
    # ``(n, K + 1)`` float16: share of each label among the superpixel's labelled pixels.
    shares: NDArray[np.float16]
    # ``(n,)`` float32 of sum 1: share of the image that each superpixel stands for.
    weights: NDArray[np.float32]
    # ``(m, FILTERS)`` float16, see `filters.filter_bank`, of sampled pixels in random order.
    filters: NDArray[np.float16]
    pixel_pieces: NDArray[np.uint16]  # ``(m,)`` uint16: which of the n superpixels each pixel is in
    pixel_labels: NDArray[np.uint8]  # ``(m,)`` uint8: the place of its label, 0 for background
    # ``(m,)`` float32 of sum 1: share of the image that it stands for.
    pixel_weights: NDArray[np.float32]

    def without(self, name: str) -> ImageRecord:
        """Return the record without a class; its superpixels are then not known to be anything."""
        keys = [name_key(other) for other in self.classes]
        if name_key(name) not in keys:
            return self
        place = keys.index(name_key(name)) + 1
        columns = [i for i in range(len(keys) + 1) if i != place]
        pixels = self.pixel_labels != place
        pixels &= (self.shares[:, place] <= 0.5)[self.pixel_pieces]
        rows = np.unique(self.pixel_pieces[pixels])
        labels = self.pixel_labels[pixels]
        shares = self.shares[rows][:, columns].astype(np.float32)
        return replace(
            self,
            classes=tuple(other for i, other in enumerate(self.classes, 1) if i != place),
            features=self.features[rows],
            colours=self.colours[rows],
            prior=self.prior[rows][:, columns],
            shares=(shares / shares.sum(1, keepdims=True)).astype(np.float16),
            weights=_normalise_weights(self.weights[rows]),
            filters=self.filters[pixels],
            pixel_pieces=np.searchsorted(rows, self.pixel_pieces[pixels]).astype(np.uint16),
            pixel_labels=labels - (labels > place).astype(np.uint8),
            pixel_weights=_normalise_weights(self.pixel_weights[pixels]),
        )


def _normalise_weights(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale weights to a sum of 1, if there are any."""
    return np.asarray(weights / max(float(weights.sum()), 1e-9), np.float32)


def name_key(name: str) -> str:
    """Return what two spellings of one class name have in common."""
    return " ".join(name.split()).casefold()


def record_digest(image: NDArray[np.uint8]) -> str:
    """Return a signature of an image, 64 hexadecimal digits. `image`: ``(H, W, 3)`` uint8."""
    digest = hashlib.sha256(f"{image.shape}\n".encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def superpixel_statistics(superpixels: Superpixels) -> tuple[Tensor, Tensor]:
    """Return the mean colour ``(3,)`` of superpixels, and their variance about it."""
    sizes = torch.from_numpy(superpixels.sizes)[:, None]
    share = sizes / sizes.sum()
    mean = (superpixels.colours * share).sum(0)
    return mean, ((superpixels.colours - mean).square() * share).sum()


def relative_colours(
    superpixels: Superpixels, statistics: tuple[Tensor, Tensor] | None = None
) -> Tensor:
    """``(n, 3)`` float32 colours in units of the image's spread, its mean subtracted.

    `statistics`: `superpixel_statistics` of the whole image, if the superpixels are of a part.
    """
    mean, variance = superpixel_statistics(superpixels) if statistics is None else statistics
    return (superpixels.colours - mean) / variance.sqrt().clamp(min=1.0)


def make_record(
    image: NDArray[np.uint8],
    classes: tuple[str, ...],
    reader: DefaultRefinement,
    labels: NDArray[np.uint8],
    corrections: NDArray[np.int16] | None,
    *,
    name: str,
    finished: bool,
) -> ImageRecord:
    """Sample a labelled image.

    `image`: ``(H, W, 3)`` uint8; `labels`: ``(H, W)`` uint8 places in the list of classes, 0
    background, 255 not known; `corrections`: ``(H, W)`` int16 places, -1 where nothing is
    corrected.
    """
    scene, digest = reader.scene, record_digest(image)
    superpixels, n_labels = scene.superpixels, len(classes) + 1
    places = _on_work_pixels(labels.astype(np.int16), scene.work)
    places[places == UNLABELLED] = -1
    trust = np.full(places.shape, 1.0 if finished else GUESS)
    if corrections is not None and not finished:
        painted = shrink_labels(corrections, scene.work)
        places = np.where(painted >= 0, painted, places)
        trust[painted >= 0] = 1.0
    # The seed is the image's own, so that the order of annotation changes nothing.
    chance = np.random.default_rng(int(digest[:16], 16))
    wanted = _density(places, trust, n_labels)
    kept, inclusion = _choose_superpixels(wanted, superpixels.index, chance)
    weighed = np.where(places >= 0, trust, 0.0)
    shape = (len(superpixels), n_labels)
    counted = count_in_superpixels(places, superpixels.index, shape, weights=weighed)[0]
    counts = counted.numpy()[kept]
    total = counts.sum(1)
    weights = total / inclusion
    pixels = _choose_pixels(wanted, superpixels.index, kept, inclusion, chance)
    bank = filter_bank(scene.lab.numpy()).reshape(FILTERS, -1)
    row = np.zeros(len(superpixels), np.int64)
    row[kept] = np.arange(len(kept))
    chances = weighed.ravel()[pixels] / wanted.ravel()[pixels]
    return ImageRecord(
        digest,
        name,
        finished,
        classes,
        scene.features[kept].numpy().astype(np.float16),
        relative_colours(superpixels)[kept].numpy().astype(np.float16),
        superpixels.average(reader.spread(THRESHOLD))[kept].numpy().astype(np.float16),
        (counts / total[:, None]).astype(np.float16),
        (weights / weights.sum()).astype(np.float32),
        bank[:, pixels].T.astype(np.float16),
        row[superpixels.index.ravel()[pixels]].astype(np.uint16),
        places.ravel()[pixels].astype(np.uint8),
        (chances / chances.sum()).astype(np.float32),
    )


def _on_work_pixels(labels: NDArray[np.int16], work: tuple[int, int]) -> NDArray[np.int16]:
    """Read labels ``(H, W)`` at the centres of coarser pixels."""
    rows = ((np.arange(work[0]) + 0.5) * labels.shape[0] / work[0]).astype(int)
    columns = ((np.arange(work[1]) + 0.5) * labels.shape[1] / work[1]).astype(int)
    return np.asarray(labels[rows][:, columns])


def _density(
    places: NDArray[np.int16], trust: NDArray[np.float64], n_labels: int
) -> NDArray[np.float64]:
    """``(h, w)`` of sum 1: half evenly over the image, half evenly over its labels."""
    known = places >= 0
    by_label = np.bincount(places[known], weights=trust[known], minlength=n_labels)
    if not by_label.any():
        raise InputError("Nothing is labelled in this image, so there is nothing to remember.")
    each = 0.5 / by_label.sum() + 0.5 / (np.maximum(by_label, 1e-9) * (by_label > 0).sum())
    return np.where(known, trust * each[np.maximum(places, 0)], 0.0)


def _choose_superpixels(
    wanted: NDArray[np.float64], index: NDArray[np.int64], chance: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Choose superpixels in ascending order, and say how likely each was to be chosen."""
    share = np.bincount(index.ravel(), weights=wanted.ravel())
    known = np.flatnonzero(share)
    if len(known) <= SUPERPIXELS:
        return known, np.ones(len(known))
    # Exponential clocks choose without replacement, in proportion to the shares.
    clocks = chance.exponential(size=len(known)) / share[known]
    chosen = np.sort(known[np.argsort(clocks, kind="stable")[:SUPERPIXELS]])
    return chosen, np.minimum(1.0, SUPERPIXELS * share[chosen])


def _choose_pixels(
    wanted: NDArray[np.float64],
    index: NDArray[np.int64],
    kept: NDArray[np.int64],
    inclusion: NDArray[np.float64],
    chance: np.random.Generator,
) -> NDArray[np.int64]:
    """Choose pixels of the kept superpixels, as flat positions in random order."""
    chosen = np.zeros(int(index.max()) + 1)
    chosen[kept] = 1 / inclusion
    likely = wanted.ravel() * chosen[index.ravel()]
    inside = np.flatnonzero(likely)
    if len(inside) <= PIXELS:
        return chance.permutation(inside)
    likely = likely[inside]
    clocks = chance.exponential(size=len(inside)) / likely
    return chance.permutation(inside[np.argsort(clocks, kind="stable")[:PIXELS]])
