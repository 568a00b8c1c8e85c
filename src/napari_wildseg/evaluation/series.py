"""`series`: images in an order, each remembered before the next; with the memory and without."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.progress import Progress, Steps
from napari_wildseg.evaluation.annotators.annotator import check_annotator, dabs_to, simulate
from napari_wildseg.evaluation.cases import Case, Segmenting, case_steps
from napari_wildseg.evaluation.drops import Drops
from napari_wildseg.evaluation.evaluate import spread_evenly
from napari_wildseg.evaluation.evaluation_set import EvaluationItem, EvaluationSet
from napari_wildseg.evaluation.forest import PixelForest, pixel_features
from napari_wildseg.evaluation.metrics import mean_iou

PLACES = (1, 2, 3, 5, 10)
"""Places in a series that the summary shows, beside the last."""

WORSE = 0.05
"""An image is worse with the memory if it loses more mean IoU than this, before any dab."""


class Remembering(Segmenting, Protocol):
    """What a series needs of a `napari_wildseg.Segmenter`."""

    memory: Any

    def remember(self, *, finished: bool = True, labels: NDArray[np.uint8] | None = None) -> Any:
        """Add the image with its labels to the memory."""


@dataclass(frozen=True)
class Place:
    """One image at its place in one order.

    Attributes
    ----------
    order, place : int
        Which order, from 0, and which place in it, from 1.
    image : str
        Its stem.
    curves : dict of str to list of float
        By ``"without"``, ``"with"`` and, if it was compared, ``"forest"``: mean IoU after 0, 1,
        ... dabs.
    """

    order: int
    place: int
    image: str
    curves: dict[str, list[float]]

    def to_json(self) -> dict[str, Any]:
        """Return the place as a JSON object."""
        return {"order": self.order, "place": self.place, "image": self.image, **self.curves}


@dataclass(frozen=True)
class Series:
    """Figures of `series_steps`.

    Attributes
    ----------
    places : tuple of Place
        All images of all orders.
    drops : dict of str to Drops
        By the names of `Place.curves`: how often refinements made images worse.
    """

    places: tuple[Place, ...]
    drops: dict[str, Drops]

    def to_json(self) -> dict[str, Any]:
        """Return ``{"series": [...], "series_summary": {...}}``."""
        return {"series": [one.to_json() for one in self.places], "series_summary": self.summary()}

    def summary(self) -> dict[str, Any]:
        """Return the means by place, the share of images made worse, and the dabs to 85 %."""
        last = max(one.place for one in self.places)
        shown = {str(n): n for n in PLACES if n <= last} | {"last": last}
        late = {f"from {n}": self._means(n, last) for n in (3, 5) if n <= last}
        return {
            "images": last,
            "places": {name: self._means(n, n) for name, n in shown.items()},
            **late,
            "worse": self._worse(1),
            "worse from 3": self._worse(3),
            "noc85": self._dabs(1),
            "noc85 from 5": self._dabs(5),
            "drops": {name: drops.to_json() for name, drops in self.drops.items()},
        }

    def _means(self, first: int, last: int) -> dict[str, list[float]]:
        """Mean curves over places."""
        chosen = [one.curves for one in self.places if first <= one.place <= last]
        return {
            name: np.mean([curves[name] for curves in chosen], axis=0).tolist()
            for name in chosen[0]
        }

    def _worse(self, first: int) -> float | None:
        """Share of images from a place on that the memory makes worse by more than `WORSE`."""
        worse = [
            one.curves["without"][0] - one.curves["with"][0] > WORSE
            for one in self.places
            if one.place >= first
        ]
        return float(np.mean(worse)) if worse else None

    def _dabs(self, first: int) -> dict[str, float] | None:
        """Mean dabs to 85 % from a place on."""
        chosen = [one.curves for one in self.places if one.place >= first]
        if not chosen:
            return None
        return {
            name: float(np.mean([dabs_to(curves[name]) for curves in chosen])) for name in chosen[0]
        }


def series_steps(
    segmenter: Remembering,
    data: EvaluationSet,
    new_memory: Callable[[], Any],
    *,
    clicks: int = 0,
    annotator: str = "dab",
    orders: int = 3,
    finish: bool = False,
    forest: bool = False,
    limit: int | None = None,
) -> Steps[Series]:
    """Measure what remembered images do for the next ones.

    Parameters
    ----------
    segmenter : Segmenter
        What is measured; its memory is replaced.
    data : EvaluationSet
        What it is measured on. Images without a known class are left out.
    new_memory : callable
        Returns the memory that an order starts with.
    clicks : int
        How often the simulated annotator paints on each image.
    annotator : str
        As for `evaluate_steps`.
    orders : int
        In how many orders; order n is a permutation seeded by n.
    finish : bool
        Whether each image is remembered as its true mask; else as the annotator left it.
    forest : bool
        Also measure a `PixelForest`, which learns from the true masks, or from the pixels that
        were painted. Before its first image it gives background alone.
    limit : int, optional
        Take at most this many images, evenly spread.

    Yields
    ------
    Progress
        One an image and order.

    Returns
    -------
    Series
        The mean IoU over an image's known classes, background included unless each image has
        names of its own.

    Raises
    ------
    InputError
        If an option is not as described or no image is left.
    """
    check_annotator(annotator)
    items = [item for item in spread_evenly(data.items, limit) if item.known(item.mask())]
    if not items:
        raise data.without_classes()
    total = len(items) * (orders + 1)
    runner = _Runner(segmenter, data, clicks, annotator)
    drops = {name: Drops() for name in ("without", "with", *(["forest"] if forest else []))}
    segmenter.memory = None
    without: dict[str, list[float]] = {}
    for index, item in enumerate(items):
        case = yield from runner.open(item, index, total)
        without[item.stem], _ = runner.annotate(
            case, case.stages["refined"], case.refine, drops["without"]
        )
    places = []
    for order in range(orders):
        segmenter.memory = new_memory()
        pixels = PixelForest()
        for place, item in enumerate(_in_order(items, order), start=1):
            at = len(items) * (order + 1) + place - 1
            case = yield from runner.open(item, at, total)
            curves = {"without": without[item.stem]}
            curves["with"], _ = runner.annotate(
                case, case.stages["refined"], case.refine, drops["with"]
            )
            if finish:
                segmenter.remember(finished=True, labels=item.asked(case.truth, case.known))
            else:
                segmenter.remember(finished=False)
            if forest:
                yield Progress(at, total, f"Image {place} of {len(items)}: forest")
                curves["forest"] = runner.annotate_forest(case, pixels, drops["forest"], finish)
            places.append(Place(order, place, item.stem, curves))
    return Series(tuple(places), drops)


@dataclass(frozen=True)
class _Runner:
    """The part of the protocol that is the same with and without a memory."""

    segmenter: Remembering
    data: EvaluationSet
    clicks: int
    annotator: str

    def open(self, item: EvaluationItem, done: int, total: int) -> Steps[Case]:
        """Segment an image into its known classes."""
        yield Progress(done, total, f"Image {done + 1} of {total}")
        at = (done, total)
        case = yield from case_steps(self.segmenter, self.data, item, labels="known", at=at)
        assert case is not None
        return case

    def annotate(
        self,
        case: Case,
        labels: NDArray[np.uint8],
        refine: Callable[[NDArray[np.int16]], NDArray[np.uint8]],
        drops: Drops,
    ) -> tuple[list[float], NDArray[np.int16]]:
        """Let the annotator paint; return the mean IoU after each dab, and what was painted."""
        scored = case.values if self.data.per_image else [0, *case.values]
        painted = np.full(case.truth.shape, -1, np.int16)
        curve = [mean_iou(case.truth, labels, scored)]

        def note(corrections: NDArray[np.int16]) -> NDArray[np.uint8]:
            painted[:] = corrections
            found = refine(corrections)
            curve.append(mean_iou(case.truth, found, scored))
            return found

        simulate(
            case.truth,
            labels,
            case.values,
            note,
            clicks=self.clicks,
            annotator=self.annotator,
            drops=drops,
        )
        return curve + curve[-1:] * (self.clicks + 1 - len(curve)), painted

    def annotate_forest(
        self, case: Case, forest: PixelForest, drops: Drops, finish: bool
    ) -> list[float]:
        """Let the annotator paint on the forest's labels; then the forest learns the image."""
        features = pixel_features(case.item.image())
        names = {info.id: info.name for info in case.known}

        def predict(corrections: NDArray[np.int16] | None = None) -> NDArray[np.uint8]:
            return forest.predict(features, names, corrections)

        curve, painted = self.annotate(case, predict(), predict, drops)
        forest.learn(
            features, case.item.asked(case.truth, case.known) if finish else painted, names
        )
        return curve


def _in_order(items: Sequence[EvaluationItem], order: int) -> Iterator[EvaluationItem]:
    for index in np.random.default_rng(order).permutation(len(items)):
        yield items[index]
