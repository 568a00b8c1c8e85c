"""The gate: how much of a memory is used, judged by leaving each finished image out in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from napari_wildseg.engine.memory.process import ErrorProcess, place_of, said_of
from napari_wildseg.engine.memory.records import ImageRecord

STEPS = (0.0, 0.25, 0.5, 1.0)
"""Shares of the predicted residual that are tried."""


@dataclass(frozen=True)
class Hindsight:
    """What would have come of each finished image, had it been left out of the memory.

    Attributes
    ----------
    digests : tuple of str
        The finished images that were asked for the class.
    ious : ndarray
        ``(len(STEPS), n)`` float64 IoU of the class by step and image; the first step is without
        memory.
    chosen : float
        The step that is used.
    """

    digests: tuple[str, ...]
    ious: NDArray[np.float64]
    chosen: float

    @property
    def step(self) -> int:
        """Index of the step that is used."""
        return STEPS.index(self.chosen)


def look_back(records: Sequence[ImageRecord], name: str, *, alike: bool) -> Hindsight:
    """Leave each finished image out in turn.

    Parameters
    ----------
    records : sequence of ImageRecord
        Images that were asked for the class.
    name : str
        The class.
    alike : bool
        Whether the annotator says that the images are alike: one is then enough to learn from.
    """
    finished = [record for record in records if record.finished]
    ious = np.zeros((len(STEPS), len(finished)))
    for column, left_out in enumerate(finished):
        rest = [record for record in records if record is not left_out]
        ious[:, column] = _ious(left_out, ErrorProcess(rest, name) if rest else None, name)
    digests = tuple(record.digest for record in finished)
    if len(finished) < 2:
        return Hindsight(digests, ious, STEPS[-1] if alike and records else 0.0)
    gains = ious - ious[0]
    error = gains.std(1, ddof=1) / np.sqrt(len(finished))
    best = int(np.argmax(gains.mean(1) - error / 2))
    return Hindsight(digests, ious, STEPS[best])


def _ious(record: ImageRecord, process: ErrorProcess | None, name: str) -> NDArray[np.float64]:
    """IoU of the class by step on a record's samples."""
    place = place_of(record, name)
    said = torch.from_numpy(record.said).float()
    residual = torch.zeros(len(said))
    if process is not None:
        looks = torch.from_numpy(record.looks).float()
        colours = torch.from_numpy(record.colours).float()
        residual = process.residual(looks, colours, said_of(said, place))
    others = said.clone()
    others[:, place] = -1
    rival = others.amax(1)
    truth = record.shares[:, place].astype(np.float64)
    found = []
    for step in STEPS:
        mask = (said[:, place] + step * residual > rival).numpy()
        inside = (record.weights * truth * mask).sum()
        union = (record.weights * np.maximum(truth, mask)).sum()
        found.append(inside / union if union else 1.0)
    return np.array(found)
