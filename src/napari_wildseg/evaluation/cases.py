"""One image of an evaluation set, segmented, with its true mask."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import MAX_CLASSES, ClassInfo, class_colour
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.maps.thresholds import PRESENT_SCORE
from napari_wildseg.engine.progress import Progress, Steps, map_progress
from napari_wildseg.evaluation.evaluation_set import EvaluationItem, EvaluationSet


class SegmenterLike(Protocol):
    """The part of the interface of `napari_wildseg.Segmenter` that evaluation uses."""

    refiner: str

    def set_image_steps(self, image: NDArray[Any]) -> Steps[None]:
        """Encode an image."""

    def segment_steps(
        self, labels: Any, *, keep_stages: bool = False, refine: bool = True
    ) -> Steps[Any]:
        """Segment it; the result has ``labels``, ``stage_labels`` and ``seconds``."""

    def refine(self, corrections: NDArray[np.int16] | None = None) -> Any:
        """Refine with corrections; the result has ``labels``."""

    def suggest(
        self,
        vocabulary: Any,
        top: int = 10,
        *,
        merge_duplicates: bool = True,
        whole_image: bool = False,
    ) -> list[tuple[str, float]]:
        """Suggest names."""


@dataclass(frozen=True)
class _Suggestions:
    """What was suggested for an image.

    Attributes
    ----------
    merged, scores : list of (str, float)
        With and without near-duplicates merged, best first.
    """

    merged: list[tuple[str, float]]
    scores: list[tuple[str, float]]
    plain: list[tuple[str, float]]  # the whole image's scores

    @classmethod
    def of(cls, segmenter: SegmenterLike, vocabulary: tuple[str, ...]) -> _Suggestions:
        """Ask a segmenter about the image it holds."""
        count = len(vocabulary)
        return cls(
            segmenter.suggest(vocabulary, top=count),
            segmenter.suggest(vocabulary, top=count, merge_duplicates=False),
            segmenter.suggest(vocabulary, top=count, whole_image=True),
        )


@dataclass
class Case:
    """An image with its truth, and the segmenter that holds it."""

    item: EvaluationItem  # where it is from
    truth: NDArray[np.uint8]  # ``(H, W)`` uint8, 255 ignored
    known: tuple[ClassInfo, ...]  # classes that cover at least 1 % of the mask; ids are mask values
    # Classes the segmenter was given; ids are mask values, or values the mask does not use.
    asked: tuple[ClassInfo, ...]
    segmenter: SegmenterLike  # it holds this image until the next case is made
    stages: dict[str, NDArray[np.uint8]]  # ``(H, W)`` uint8 after each stage
    seconds: dict[str, float]  # of the segmenter's steps
    suggestions: _Suggestions | None = None  # with automatic labels, what was suggested
    reruns: list[float] = field(default_factory=list)  # seconds of each call of `refine`

    @property
    def values(self) -> list[int]:
        """Mask values of the known classes."""
        return [info.id for info in self.known]

    def refine(self, corrections: NDArray[np.int16] | None = None) -> NDArray[np.uint8]:
        """Refine again.

        `corrections`: ``(H, W)`` int16, -1 where there is none; returns ``(H, W)`` uint8.
        """
        started = time.perf_counter()
        result = self.segmenter.refine(corrections)
        self.reruns.append(time.perf_counter() - started)
        return np.asarray(result.labels)


def case_steps(
    segmenter: SegmenterLike,
    data: EvaluationSet,
    item: EvaluationItem,
    *,
    labels: str,
    at: tuple[int, int],
    refine: bool = True,
) -> Steps[Case | None]:
    """Segment one image of a set."""
    truth = item.mask()
    known = item.known(truth)
    if not known:
        return None
    image = item.image()
    if image.shape[:2] != truth.shape:
        raise InputError(f"The mask of {item.stem} is of another size than its image.")
    yield from _with_image_progress(segmenter.set_image_steps(image), *at)
    suggestions = None if labels == "known" else _Suggestions.of(segmenter, data.vocabulary)
    asked = known if suggestions is None else suggested(suggestions, item)
    result = yield from _with_image_progress(
        segmenter.segment_steps(asked, keep_stages=True, refine=refine), *at
    )
    return Case(
        item, truth, known, asked, segmenter, result.stage_labels, dict(result.seconds), suggestions
    )


def suggested(suggestions: _Suggestions, item: EvaluationItem) -> tuple[ClassInfo, ...]:
    """Return the classes that the model itself finds in an image."""
    found = suggestions.merged[:MAX_CLASSES]
    names = [name for name, score in found if score >= PRESENT_SCORE] or [found[0][0]]
    ids = {name: value for value, name in item.names.items()}
    free = (value for value in range(MAX_CLASSES, 0, -1) if value not in item.names)
    chosen = []
    for name in names:
        value = ids[name] if name in ids else next(free, None)
        if value is not None:
            chosen.append(ClassInfo(value, name, (name,), class_colour(value)))
    return tuple(chosen)


def _with_image_progress(steps: Steps[Any], done: int, total: int) -> Steps[Any]:
    """Yield the steps of a job as progress of image ``done`` of ``total``."""
    stage = f"Image {done + 1} of {total}"
    return map_progress(steps, lambda step: Progress(done, total, f"{stage}: {step.stage}"))
