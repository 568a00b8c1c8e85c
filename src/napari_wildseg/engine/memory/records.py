"""What is kept of a remembered image: samples of its superpixels, with their labels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_wildseg.engine.classes import UNLABELLED
from napari_wildseg.engine.refine.default import DefaultRefinement
from napari_wildseg.engine.refine.observe import count_in_pieces
from napari_wildseg.engine.refine.superpixels import Superpixels

PIECES = 500
"""Superpixels kept of an image, at most."""

THRESHOLD = 0.5
"""The threshold at which relevance maps are turned into probabilities, in records and later."""

GUESS = 0.1
"""What a label of an unfinished image counts that the annotator did not paint."""


@dataclass(frozen=True)
class Source:
    """What features and maps depend on; a memory holds records of one source.

    Attributes
    ----------
    model : str
        The model string, for messages.
    fingerprint : str
        `CLIPModel.fingerprint`, which identifies the weights.
    method : str
        Name of the relevance method.
    views : str
        Preset of test-time augmentation.
    """

    model: str
    fingerprint: str
    method: str
    views: str


@dataclass(frozen=True, eq=False)
class ImageRecord:
    """Samples of one image.

    Attributes
    ----------
    digest : str
        `image_digest` of the image: the key of the record.
    name : str
        What the annotator knows the image by; may be empty.
    finished : bool
        Whether all its labels are right; else only corrected pixels are known.
    classes : tuple of str
        The K names that the image was segmented into. It teaches nothing of others.
    looks : ndarray
        ``(n, C)`` float16 unit rows: the network's features of each superpixel.
    colours : ndarray
        ``(n, 3)`` float16 CIE Lab, relative to the image's mean and spread.
    said : ndarray
        ``(n, K + 1)`` float16 probabilities from the relevance maps, background first.
    shares : ndarray
        ``(n, K + 1)`` float16: share of each label among the superpixel's labelled pixels.
    weights : ndarray
        ``(n,)`` float32 of sum 1: share of the image that each superpixel stands for.
    """

    digest: str
    name: str
    finished: bool
    classes: tuple[str, ...]
    looks: NDArray[np.float16]
    colours: NDArray[np.float16]
    said: NDArray[np.float16]
    shares: NDArray[np.float16]
    weights: NDArray[np.float32]

    def without(self, name: str) -> ImageRecord:
        """Return the record without a class; its superpixels are then not known to be anything."""
        keys = [name_key(other) for other in self.classes]
        if name_key(name) not in keys:
            return self
        place = keys.index(name_key(name)) + 1
        columns = [i for i in range(len(keys) + 1) if i != place]
        rows = self.shares[:, place] <= 0.5
        kept = self.weights[rows]
        return replace(
            self,
            classes=tuple(other for i, other in enumerate(self.classes, 1) if i != place),
            looks=self.looks[rows],
            colours=self.colours[rows],
            said=self.said[rows][:, columns],
            shares=self.shares[rows][:, columns],
            weights=kept / max(kept.sum(), np.float32(1e-9)),
        )


def name_key(name: str) -> str:
    """Return what two spellings of one class name have in common."""
    return " ".join(name.split()).casefold()


def image_digest(image: NDArray[np.uint8]) -> str:
    """Return a signature of an image, 64 hexadecimal digits.

    Parameters
    ----------
    image : ndarray
        ``(H, W, 3)`` uint8.
    """
    digest = hashlib.sha256(f"{image.shape}\n".encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def relative_colours(pieces: Superpixels) -> Tensor:
    """``(n, 3)`` float32 colours in units of the image's spread, its mean subtracted."""
    sizes = torch.from_numpy(pieces.sizes)[:, None]
    share = sizes / sizes.sum()
    mean = (pieces.colours * share).sum(0)
    centred = pieces.colours - mean
    spread = (centred.square() * share).sum().sqrt().clamp(min=1.0)
    return centred / spread


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

    Parameters
    ----------
    image : ndarray
        ``(H, W, 3)`` uint8.
    classes : tuple of str
        The K names that were asked.
    reader : DefaultRefinement
        Of the image, for these classes.
    labels : ndarray
        ``(H, W)`` uint8 places in the list of classes, 0 background, 255 not known.
    corrections : ndarray or None
        ``(H, W)`` int16 places, -1 where nothing is corrected.
    name : str
        What the annotator knows it by.
    finished : bool
        Whether all labels are right. If not, labels that are no corrections count `GUESS`.
    """
    pieces, digest = reader.scene.pieces, image_digest(image)
    shape = (len(pieces), len(classes) + 1)
    places = np.where(labels == UNLABELLED, np.int16(-1), labels.astype(np.int16))
    counts = count_in_pieces(places, pieces.index, shape)[0]
    if not finished:
        counts *= GUESS
        if corrections is not None:
            counts += count_in_pieces(corrections, pieces.index, shape)[0]
    weights = counts.sum(1).numpy()
    known = np.flatnonzero(weights)
    if len(known) > PIECES:
        # The seed is the image's own, so that the order of annotation changes nothing.
        chance = np.random.default_rng(int(digest[:16], 16))
        known = np.sort(chance.choice(known, PIECES, replace=False))
    weights = weights[known]
    return ImageRecord(
        digest,
        name,
        finished,
        classes,
        reader.scene.looks[known].numpy().astype(np.float16),
        relative_colours(pieces)[known].numpy().astype(np.float16),
        pieces.average(reader.spread(THRESHOLD))[known].numpy().astype(np.float16),
        (counts[known].numpy() / np.maximum(weights, 1e-6)[:, None]).astype(np.float16),
        (weights / max(weights.sum(), 1e-6)).astype(np.float32),
    )
