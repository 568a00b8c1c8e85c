"""`evaluate`: metrics of a segmenter on a set, by stage and by number of dabs."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.maps.thresholds import PRESENT_SCORE
from napari_wildseg.engine.progress import Progress, Steps, drain
from napari_wildseg.evaluation.annotators.annotator import check_annotator, dabs_to, simulate
from napari_wildseg.evaluation.cases import Case, SegmenterLike, case_steps
from napari_wildseg.evaluation.drops import Drops
from napari_wildseg.evaluation.evaluation_set import EvaluationItem, EvaluationSet
from napari_wildseg.evaluation.metrics import Confusion, boundary_f, image_ious, mean_iou
from napari_wildseg.evaluation.tagging_scores import LabelTally

_T = TypeVar("_T")

_STAGES = ("single view", "augmented", "refined")
"""Keys of ``Result.stage_labels``, in order."""


@dataclass(frozen=True)
class Evaluation:
    """Metrics over a set; see `evaluate_steps`.

    Attributes
    ----------
    images, skipped : int
        Number of images measured, and of images left out because they have no known class.
    miou : float
        mIoU after the last stage, over the classes that are known in some image.
    miou_classes : float
        As ``miou``, without the background class.
    miou_all : float
        mIoU over all classes that occur, including those never known.
    stages : dict of str to float
        ``miou`` after each stage.
    per_class : dict of str to float
        IoU after the last stage, by class name.
    boundary_f : float
        Mean over the images of the boundary F-score at 2 pixels, after the last stage.
    image_miou : float
        Mean over the images of the mean IoU over an image's known classes, without background.
    seconds : dict of str to float
        Mean per image of encode, relevance, refine, and with clicks rerun (after a dab).
    clicks : list of float or None
        ``image_miou`` after 0, 1, ... dabs.
    noc85 : float or None
        Mean number of dabs to 85 %.
    drops : dict or None
        How often a refinement after a dab made an image worse; see `Drops.to_json`.
    labels : dict or None
        Metrics of automatic labels; see `LabelTally.to_json`.
    """

    images: int
    skipped: int
    miou: float
    miou_classes: float
    miou_all: float
    stages: dict[str, float]
    per_class: dict[str, float]
    boundary_f: float
    image_miou: float
    seconds: dict[str, float]
    clicks: list[float] | None = None
    noc85: float | None = None
    drops: dict[str, Any] | None = None
    labels: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the object that ``wildseg evaluate --json`` prints."""
        return {key: value for key, value in vars(self).items() if value is not None}


class Tally:
    """Accumulates one result per image, for both definitions of mIoU.

    Parameters
    ----------
    per_image : bool
        Whether each image has its own class names.
    """

    def __init__(self, per_image: bool) -> None:
        self.per_image = per_image
        self.confusion = Confusion()
        self.by_name: dict[str, list[float]] = defaultdict(list)
        self.image_means: list[float] = []
        self.evaluated = {0}

    def add(
        self,
        item: EvaluationItem,
        truth: NDArray[np.uint8],
        labels: NDArray[np.uint8],
        known: Sequence[int],
    ) -> None:
        """Count one image.

        Parameters
        ----------
        item : Item
            The image.
        truth, labels : ndarray
            ``(H, W)`` uint8 in mask values.
        known : sequence of int
            The image's known classes.
        """
        self.confusion.add(truth, labels)
        self.evaluated.update(known)
        if self.per_image:
            present = np.flatnonzero(np.bincount(truth.ravel(), minlength=256)[:255])
            ious = image_ious(truth, labels, [int(c) for c in present if c])
            for value, iou in ious.items():
                self.by_name[item.names[value]].append(iou)
            self.image_means.append(float(np.mean(list(ious.values()))))

    def miou(self, *, background: bool = True) -> float:
        """Return the mIoU of the set, as defined in `evaluate_steps`.

        Parameters
        ----------
        background : bool
            False to leave the background class out; with names per image it always is.
        """
        if self.per_image:
            return float(np.mean(self.image_means)) if self.image_means else math.nan
        return self.confusion.miou(self.evaluated if background else self.evaluated - {0})

    def miou_all(self) -> float:
        """Return the mIoU over all classes that occur in a mask, known or not."""
        return self.miou() if self.per_image else self.confusion.miou()

    def per_class(self, names: dict[int, str]) -> dict[str, float]:
        """Return the IoU by class name.

        Parameters
        ----------
        names : dict of int to str
            Names of the mask values; ignored if each image has its own.
        """
        if self.per_image:
            return {name: float(np.mean(ious)) for name, ious in sorted(self.by_name.items())}
        return {
            names.get(v, "background"): iou
            for v, iou in self.confusion.iou().items()
            if v in self.evaluated
        }


class DabCurves:
    """What the simulated annotator makes of results, image by image."""

    def __init__(self, clicks: int, annotator: str) -> None:
        self._how: dict[str, Any] = {"clicks": clicks, "annotator": annotator}
        self._curves: list[list[float]] = []
        self._drops = Drops()

    def add(self, case: Case, labels: NDArray[np.uint8]) -> None:
        """Annotate one image, from labels ``(H, W)`` on."""
        again = case.refine
        scores, _ = simulate(case.truth, labels, case.values, again, drops=self._drops, **self._how)
        self._curves.append(scores)

    def figures(self) -> dict[str, Any]:
        """Return ``clicks``, ``noc85`` and ``drops`` of `Evaluation`; empty without an image."""
        if not self._curves:
            return {}
        found: dict[str, Any] = {"clicks": np.mean(self._curves, axis=0).tolist()}
        if self._how["clicks"]:
            found["noc85"] = float(np.mean([dabs_to(curve) for curve in self._curves]))
            found["drops"] = self._drops.to_json()
        return found


def evaluate(segmenter: SegmenterLike, data: EvaluationSet, **options: Any) -> Evaluation:
    """Run `evaluate_steps` to its end.

    Parameters
    ----------
    segmenter, data, **options
        As there.
    """
    return drain(evaluate_steps(segmenter, data, **options))


def evaluate_steps(
    segmenter: SegmenterLike,
    data: EvaluationSet,
    *,
    labels: str = "known",
    clicks: int = 0,
    annotator: str = "dab",
    limit: int | None = None,
) -> Steps[Evaluation]:
    """Measure a segmenter on a set.

    Parameters
    ----------
    segmenter : Segmenter
        The segmenter.
    data : EvaluationSet
        The set.
    labels : str
        ``"known"``: each image is segmented into its known classes, which cover at least 1 % of
        its mask. ``"auto"``: into the classes that `Segmenter.suggest` finds in the set's
        vocabulary. Images without a known class are left out in both cases.
    clicks : int
        Number of strokes of the simulated annotator per image; for known labels only.
    annotator : str
        ``"dab"``, ``"stroke"``, ``"fill"`` or ``"person"``: how each stroke is painted.
    limit : int, optional
        Take at most this many images, evenly spread over the set.

    Yields
    ------
    Progress
        One per image.

    Returns
    -------
    Evaluation
        The metrics.

    Raises
    ------
    InputError
        If an option is not as described or no image is left.

    Notes
    -----
    With one class list for the set, intersections and unions are summed per class over the set,
    background included. ``miou`` is the mean IoU over the classes that are known in some image.
    ``miou_all`` also includes classes that are never known; these have IoU 0. With names per
    image, ``miou`` is the mean over images of the mean IoU of the image's classes without
    background.
    """
    if labels not in ("known", "auto"):
        raise InputError(f'Labels are "known" or "auto", not "{labels}".')
    if labels == "auto" and clicks:
        raise InputError("The simulated annotator needs known labels: leave out --labels auto.")
    check_annotator(annotator)
    items = spread_evenly(data.items, limit)
    tallies = {stage: Tally(data.per_image) for stage in _STAGES}
    tags = LabelTally(data.vocabulary)
    seconds: dict[str, list[float]] = defaultdict(list)
    boundary: list[float] = []
    image_means: list[float] = []
    dabs = DabCurves(clicks, annotator)
    for index, item in enumerate(items):
        yield Progress(index, len(items), f"Image {index + 1} of {len(items)}")
        case = yield from case_steps(segmenter, data, item, labels=labels, at=(index, len(items)))
        if case is None:
            continue
        for stage in _STAGES:
            tallies[stage].add(item, case.truth, case.stages[stage], case.values)
        if case.suggestions is not None:
            there = set(np.unique(case.truth).tolist())
            tags.add(
                case.suggestions.scores,
                case.suggestions.merged,
                case.suggestions.plain,
                [name for value, name in item.names.items() if value in there],
                [info.name for info in case.known],
            )
        final = case.stages[_STAGES[-1]]
        image_means.append(mean_iou(case.truth, final, case.values))
        boundary.append(boundary_f(case.truth, final, case.values))
        if clicks:
            dabs.add(case, final)
        for key, value in case.seconds.items():
            seconds[key].append(value)
        seconds["rerun"] += case.reruns
    if not image_means:
        raise data.without_classes()
    last = tallies[_STAGES[-1]]
    names = {} if data.per_image else items[0].names
    return Evaluation(
        images=len(image_means),
        skipped=len(items) - len(image_means),
        miou=last.miou(),
        miou_classes=last.miou(background=False),
        miou_all=last.miou_all(),
        stages={stage: tallies[stage].miou() for stage in _STAGES},
        per_class=last.per_class(names),
        boundary_f=float(np.mean(boundary)),
        image_miou=float(np.mean(image_means)),
        seconds={key: float(np.mean(values)) for key, values in seconds.items() if values},
        labels=tags.to_json(PRESENT_SCORE) if labels == "auto" else None,
        **dabs.figures(),
    )


def spread_evenly(items: Sequence[_T], limit: int | None) -> Sequence[_T]:
    """Return at most ``limit`` items, evenly spaced.

    Parameters
    ----------
    items : sequence
        The set.
    limit : int, optional
        Number of items; None for all.
    """
    if limit is None or limit >= len(items):
        return items
    return [items[(i * len(items)) // limit] for i in range(limit)]
