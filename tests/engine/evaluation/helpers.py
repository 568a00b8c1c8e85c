"""Small evaluation sets, and a segmenter whose answers are known."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from napari_wildseg.engine.classes import parse_classes
from napari_wildseg.engine.progress import Progress


def write_set(folder, masks, *, classes=None, labels=None):
    """Write a set; each image is grey noise, its mask in the red channel's low bits."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for stem, mask in masks.items():
        image = np.repeat(mask[..., None], 3, axis=2)
        Image.fromarray(image).save(folder / "images" / f"{stem}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{stem}.png")
    if classes is not None:
        (folder / "classes.json").write_text(json.dumps(classes))
    if labels is not None:
        (folder / "labels.json").write_text(json.dumps(labels))
    return folder


@dataclass
class FakeResult:
    """As much of a Result as evaluation looks at."""

    labels: np.ndarray
    stage_labels: dict | None = None
    seconds: dict = field(default_factory=dict)


class FakeSegmenter:
    """Sees the mask in the image; each stage is right in more of the columns."""

    SHARES = {"single view": 0.25, "augmented": 0.5, "refined": 0.75}  # noqa: RUF012

    def __init__(self, refiner="default", suggestions=()):
        self.refiner = refiner
        self.suggestions = list(suggestions)
        self.asked = []

    def set_image_steps(self, image):
        self.truth = image[..., 0]
        yield Progress(0, 1, "Encoding view 1 of 1")

    def segment_steps(self, labels, *, keep_stages=False, refine=True):
        self.classes = parse_classes(labels)
        self.asked.append([info.name for info in self.classes])
        yield Progress(0, 1, "Relevance")
        stages = {name: self._right_up_to(share) for name, share in self.SHARES.items()}
        seconds = {"encode": 1.0, "relevance": 0.25, "refine": 0.5}
        return FakeResult(stages["refined"], stages, seconds)

    def refine(self, corrections=None):
        """Right within corrections, and in as many columns as the refiner's name says."""
        share = 0.75 if self.refiner == "default" else float(self.refiner)
        labels = self._right_up_to(share)
        if corrections is not None:
            labels = np.where(corrections >= 0, corrections, labels).astype(np.uint8)
        return FakeResult(labels)

    def suggest(self, vocabulary, top=10, *, merge_duplicates=True, whole_image=False):
        self.vocabulary = vocabulary
        return self.suggestions[:top]

    def _right_up_to(self, share):
        known = np.isin(self.truth, [info.id for info in self.classes])
        labels = np.where(known, self.truth, 0).astype(np.uint8)
        labels[:, round(share * labels.shape[1]) :] = 0
        return labels
