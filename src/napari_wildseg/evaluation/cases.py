"""One image of a set, segmented and ready to be compared with its mask."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import MAX_CLASSES, ClassInfo, class_colour
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.maps.thresholds import CUT
from napari_wildseg.engine.progress import Progress, Steps
from napari_wildseg.evaluation.evaluation_set import EvaluationSet, Item


class Segmenting(Protocol):
    """What evaluation needs of a `napari_wildseg.Segmenter`."""

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
class Suggestions:
    """What was suggested for an image.

    Attributes
    ----------
    merged, scores : list of (str, float)
        With and without near-duplicates merged, best first.
    plain : list of (str, float)
        The whole image's scores.
    """

    merged: list[tuple[str, float]]
    scores: list[tuple[str, float]]
    plain: list[tuple[str, float]]

    @classmethod
    def of(cls, segmenter: Segmenting, vocabulary: tuple[str, ...]) -> Suggestions:
        """Ask a segmenter about the image it holds."""
        count = len(vocabulary)
        return cls(
            segmenter.suggest(vocabulary, top=count),
            segmenter.suggest(vocabulary, top=count, merge_duplicates=False),
            segmenter.suggest(vocabulary, top=count, whole_image=True),
        )


@dataclass
class Case:
    """An image with its truth, and the segmenter that holds it.

    Attributes
    ----------
    item : Item
        Where it is from.
    truth : ndarray
        ``(H, W)`` uint8, 255 ignored.
    known : tuple of ClassInfo
        Classes that cover at least 1 % of the mask; ids are mask values.
    asked : tuple of ClassInfo
        Classes the segmenter was given; ids are mask values, or values the mask does not use.
    segmenter : Segmenting
        It holds this image until the next case is made.
    stages : dict of str to ndarray
        ``(H, W)`` uint8 after each stage.
    seconds : dict of str to float
        Of the segmenter's steps.
    suggestions : Suggestions or None
        With automatic labels, what was suggested.
    reruns : list of float
        Seconds of each call of `refine`.
    """

    item: Item
    truth: NDArray[np.uint8]
    known: tuple[ClassInfo, ...]
    asked: tuple[ClassInfo, ...]
    segmenter: Segmenting
    stages: dict[str, NDArray[np.uint8]]
    seconds: dict[str, float]
    suggestions: Suggestions | None = None
    reruns: list[float] = field(default_factory=list)

    @property
    def values(self) -> list[int]:
        """Mask values of the known classes."""
        return [info.id for info in self.known]

    def refine(self, corrections: NDArray[np.int16] | None = None) -> NDArray[np.uint8]:
        """Refine again.

        Parameters
        ----------
        corrections : ndarray, optional
            ``(H, W)`` int16, -1 where there is none.

        Returns
        -------
        ndarray
            ``(H, W)`` uint8.
        """
        started = time.perf_counter()
        result = self.segmenter.refine(corrections)
        self.reruns.append(time.perf_counter() - started)
        return np.asarray(result.labels)


def case_steps(
    segmenter: Segmenting,
    data: EvaluationSet,
    item: Item,
    *,
    labels: str,
    at: tuple[int, int],
    refine: bool = True,
) -> Steps[Case | None]:
    """Segment one image of a set.

    Parameters
    ----------
    segmenter : Segmenter
        What is measured.
    data : EvaluationSet
        The set.
    item : Item
        The image.
    labels : str
        ``"known"`` or ``"auto"``.
    at : tuple of int
        Index of the image and how many there are, for the progress.
    refine : bool
        Whether to run the segmenter's own refiner at once.

    Returns
    -------
    Case or None
        None if no class is known of the image.

    Raises
    ------
    InputError
        If image and mask are of different sizes, or a file cannot be read.
    """
    truth = item.mask()
    known = item.known(truth)
    if not known:
        return None
    image = item.image()
    if image.shape[:2] != truth.shape:
        raise InputError(f"The mask of {item.stem} is of another size than its image.")
    yield from _as_image(segmenter.set_image_steps(image), *at)
    suggestions = None if labels == "known" else Suggestions.of(segmenter, data.vocabulary)
    asked = known if suggestions is None else suggested(suggestions, item)
    result = yield from _as_image(
        segmenter.segment_steps(asked, keep_stages=True, refine=refine), *at
    )
    return Case(
        item,
        truth,
        known,
        asked,
        segmenter,
        result.stage_labels,
        dict(result.seconds),
        suggestions,
    )


def suggested(suggestions: Suggestions, item: Item) -> tuple[ClassInfo, ...]:
    """Return the classes that the model itself finds in an image.

    Parameters
    ----------
    suggestions : Suggestions
        What it suggests.
    item : Item
        The image.

    Returns
    -------
    tuple of ClassInfo
        The names scored at least `CUT`, but at least one. Ids are mask values; names that
        the image's mask cannot hold get values that no name of the image has.
    """
    found = suggestions.merged[:MAX_CLASSES]
    names = [name for name, score in found if score >= CUT] or [found[0][0]]
    ids = {name: value for value, name in item.names.items()}
    free = (value for value in range(MAX_CLASSES, 0, -1) if value not in item.names)
    chosen = []
    for name in names:
        value = ids[name] if name in ids else next(free, None)
        if value is not None:
            chosen.append(ClassInfo(value, name, (name,), class_colour(value)))
    return tuple(chosen)


def _as_image(steps: Steps[Any], done: int, total: int) -> Steps[Any]:
    """Pass a job's steps on as those of image ``done`` of ``total``."""
    try:
        while True:
            try:
                step = next(steps)
            except StopIteration as stop:
                return stop.value
            yield Progress(done, total, f"Image {done + 1} of {total}: {step.stage}")
    finally:
        steps.close()
