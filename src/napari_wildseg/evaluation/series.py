"""`series`: images in sequence, each added to the class memory before the next one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.progress import Progress, Steps
from napari_wildseg.evaluation.annotators.annotator import check_annotator, dabs_to, simulate
from napari_wildseg.evaluation.cases import Case, SegmenterLike, case_steps
from napari_wildseg.evaluation.drops import Drops
from napari_wildseg.evaluation.evaluate import spread_evenly
from napari_wildseg.evaluation.evaluation_set import EvaluationItem, EvaluationSet
from napari_wildseg.evaluation.forest import PixelForest, pixel_features
from napari_wildseg.evaluation.metrics import mean_iou

PLACES = (1, 2, 3, 5, 10)
"""Places in a series that the summary shows, in addition to the last."""

WORSE = 0.05
"""Loss of mean IoU, before any dab, above which an image counts as worse with the memory."""


class MemorySegmenterLike(SegmenterLike, Protocol):
    """The part of the interface of `napari_wildseg.Segmenter` that a series uses."""

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
    """

    order: int
    place: int
    image: str  # its stem
    # By ``"without"``, ``"with"`` and, if it was compared, ``"forest"``: mean IoU after 0, 1, ...
    # dabs.
    curves: dict[str, list[float]]
    classes: dict[str, list[float]]  # the same without the background class

    def to_json(self) -> dict[str, Any]:
        """Return the place as a JSON object."""
        where = {"order": self.order, "place": self.place, "image": self.image}
        return {**where, **self.curves, "classes": self.classes}


@dataclass(frozen=True)
class Series:
    """Figures of `series_steps`."""

    places: tuple[Place, ...]  # all images of all orders
    # By the names of `Place.curves`: how often refinements made images worse.
    drops: dict[str, Drops]

    def to_json(self) -> dict[str, Any]:
        """Return ``{"series": [...], "series_summary": {...}}``."""
        return {"series": [one.to_json() for one in self.places], "series_summary": self.summary()}

    def summary(self) -> dict[str, Any]:
        """Return the means by place, the share of images made worse, and the dabs to 85 %."""
        last = max(one.place for one in self.places)
        shown = {str(n): n for n in PLACES if n <= last} | {"last": last}
        late = {f"from {n}": n for n in (3, 5) if n <= last}

        def means(kind: str) -> dict[str, Any]:
            return {
                "places": {name: self._means(kind, n, n) for name, n in shown.items()},
                **{name: self._means(kind, n, last) for name, n in late.items()},
            }

        return {
            "images": last,
            **means("curves"),
            "classes": means("classes"),
            "worse": self._worse(1),
            "worse from 3": self._worse(3),
            "noc85": self._dabs(1),
            "noc85 from 5": self._dabs(5),
            "drops": {name: drops.to_json() for name, drops in self.drops.items()},
        }

    def _means(self, kind: str, first: int, last: int) -> dict[str, list[float]]:
        """Return the mean curves over a range of places, of an attribute of `Place`."""
        chosen = [getattr(one, kind) for one in self.places if first <= one.place <= last]
        return {
            name: np.mean([curves[name] for curves in chosen], axis=0).tolist()
            for name in chosen[0]
        }

    def _worse(self, first: int) -> float | None:
        """Return the share of images, from a place on, that are worse with the memory."""
        worse = [
            one.curves["without"][0] - one.curves["with"][0] > WORSE
            for one in self.places
            if one.place >= first
        ]
        return float(np.mean(worse)) if worse else None

    def _dabs(self, first: int) -> dict[str, float] | None:
        """Return the mean number of dabs to 85 %, from a place on."""
        chosen = [one.curves for one in self.places if one.place >= first]
        if not chosen:
            return None
        return {
            name: float(np.mean([dabs_to(curves[name]) for curves in chosen])) for name in chosen[0]
        }


def series_steps(
    segmenter: MemorySegmenterLike,
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
    """Measure the effect of remembered images on later ones."""
    check_annotator(annotator)
    items = [item for item in spread_evenly(data.items, limit) if item.known(item.mask())]
    if not items:
        raise data.without_classes()
    total = len(items) * (orders + 1)
    runner = _Runner(segmenter, data, clicks, annotator)
    drops = {name: Drops() for name in ("without", "with", *(["forest"] if forest else []))}
    segmenter.memory = None
    without: dict[str, _Curves] = {}
    for index, item in enumerate(items):
        case = yield from runner.open(item, index, total)
        without[item.stem], _ = runner.annotate(
            case, case.stages["refined"], case.refine, drops["without"]
        )
    places = []
    for order in range(orders):
        segmenter.memory = new_memory()
        pixels = PixelForest()
        shuffled = np.random.default_rng(order).permutation(len(items))
        for place, item in enumerate((items[index] for index in shuffled), start=1):
            at = len(items) * (order + 1) + place - 1
            case = yield from runner.open(item, at, total)
            found = {"without": without[item.stem]}
            found["with"], _ = runner.annotate(
                case, case.stages["refined"], case.refine, drops["with"]
            )
            if finish:
                segmenter.remember(finished=True, labels=item.asked(case.truth, case.known))
            else:
                segmenter.remember(finished=False)
            if forest:
                yield Progress(at, total, f"Image {place} of {len(items)}: forest")
                found["forest"] = runner.annotate_forest(case, pixels, drops["forest"], finish)
            curves, classes = ({name: both[k] for name, both in found.items()} for k in (0, 1))
            places.append(Place(order, place, item.stem, curves, classes))
    return Series(tuple(places), drops)


_Curves = tuple[list[float], list[float]]
"""Mean IoU after 0, 1, ... dabs: as `Place.curves`, and as `Place.classes`."""


@dataclass(frozen=True)
class _Runner:
    """The steps that are the same with and without a memory."""

    segmenter: MemorySegmenterLike
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
    ) -> tuple[_Curves, NDArray[np.int16]]:
        """Simulate the annotator; return the mean IoUs after each dab, and the corrections."""
        scored = case.values if self.data.per_image else [0, *case.values]
        painted = np.full(case.truth.shape, -1, np.int16)
        curves: _Curves = [], []

        def score(labels: NDArray[np.uint8]) -> None:
            for curve, values in zip(curves, (scored, case.values), strict=True):
                curve.append(mean_iou(case.truth, labels, values))

        score(labels)

        def note(corrections: NDArray[np.int16]) -> NDArray[np.uint8]:
            painted[:] = corrections
            found = refine(corrections)
            score(found)
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
        for curve in curves:
            curve += curve[-1:] * (self.clicks + 1 - len(curve))
        return curves, painted

    def annotate_forest(
        self, case: Case, forest: PixelForest, drops: Drops, finish: bool
    ) -> _Curves:
        """Simulate the annotator on the forest's labels, then train the forest on the image."""
        features = pixel_features(case.item.image())
        names = {info.id: info.name for info in case.known}

        def predict(corrections: NDArray[np.int16] | None = None) -> NDArray[np.uint8]:
            return forest.predict(features, names, corrections)

        curves, painted = self.annotate(case, predict(), predict, drops)
        forest.learn(
            features, case.item.asked(case.truth, case.known) if finish else painted, names
        )
        return curves
