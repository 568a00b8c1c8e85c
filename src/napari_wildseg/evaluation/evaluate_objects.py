"""Objects against true objects: panoptic quality, F1, average precision, splits and merges."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.instances import CUT, classes_of, split, update
from napari_wildseg.engine.pictures.picture_files import open_picture
from napari_wildseg.engine.progress import Progress, Steps
from napari_wildseg.evaluation.cases import SegmenterLike, case_steps
from napari_wildseg.evaluation.evaluate import spread_evenly
from napari_wildseg.evaluation.evaluation_set import EvaluationItem, EvaluationSet
from napari_wildseg.evaluation.metrics import boundary

_LIMITS = np.arange(0.5, 0.96, 0.05)


def overlap(
    found: NDArray[np.int32], true: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the ids of found and of true objects, and the pixels that each pair shares.

    `found`, `true`: ``(H, W)`` int32, 0 for none; returns ``(F,)`` and ``(T,)``; returns ``(F + 1,
    T + 1)``; the last row and column are pixels of no object.
    """
    one, a = np.unique(found, return_inverse=True)
    other, b = np.unique(true, return_inverse=True)
    table = np.bincount(a.ravel() * len(other) + b.ravel(), minlength=len(one) * len(other))
    table = table.reshape(len(one), len(other))
    for axis, values in ((0, one), (1, other)):
        if values[0] == 0:
            table = np.roll(table, -1, axis=axis)
        else:
            table = np.insert(table, table.shape[axis], 0, axis=axis)
    return one[one > 0].astype(np.int64), other[other > 0].astype(np.int64), table


def object_scores(
    found: NDArray[np.int32],
    true: NDArray[np.int32],
    found_labels: NDArray[np.uint8],
    true_labels: NDArray[np.uint8],
) -> dict[str, float]:
    """Compare the objects of an image with the true ones.

    `found`, `true`: ``(H, W)`` int32; `found_labels`, `true_labels`: ``(H, W)`` uint8: classes;
    objects of different classes never match.
    """
    found, true = (np.where(true_labels == 255, 0, each).astype(np.int32) for each in (found, true))
    found_ids, true_ids, shared = overlap(found, true)
    if not found_ids.size and not true_ids.size:
        return {"pq": 1.0, "f1_50": 1.0, "f1_75": 1.0, "ap": 1.0, "splits": 0.0, "merges": 0.0}
    areas, true_areas = shared.sum(axis=1)[:-1], shared.sum(axis=0)[:-1]
    both = shared[:-1, :-1]
    iou = both / np.maximum(areas[:, None] + true_areas[None] - both, 1)
    one, other = classes_of(found, found_labels), classes_of(true, true_labels)
    kinds = np.array([one[n] for n in found_ids.tolist()], int)
    true_kinds = np.array([other[n] for n in true_ids.tolist()], int)
    iou[kinds[:, None] != true_kinds[None]] = 0
    count = len(found_ids) + len(true_ids)
    hits = {float(limit): int((iou > limit).sum()) for limit in (*_LIMITS, 0.75)}
    return {
        "pq": float(iou[iou > 0.5].sum() / (count / 2)),
        "f1_50": 2 * hits[0.5] / count,
        "f1_75": 2 * hits[0.75] / count,
        "ap": float(np.mean([hits[float(n)] / (count - hits[float(n)]) for n in _LIMITS])),
        "splits": float(((both > 0.2 * true_areas[None]).sum(axis=0) > 1).sum()),
        "merges": float(((both > 0.5 * true_areas[None]).sum(axis=1) > 1).sum()),
    }


def corrected_scores(
    labels: NDArray[np.uint8],
    image: NDArray[np.uint8],
    true: NDArray[np.int32],
    true_labels: NDArray[np.uint8],
    clicks: int,
) -> list[dict[str, float]]:
    """Score the objects of labels after 0, 1, ... cuts and merges of a simulated annotator.

    The annotator corrects what is worst: a found object that holds several true ones is cut along
    the edge of one of them, or found objects that lie in one true object are merged by a stroke
    over both.

    `labels`: ``(H, W)`` uint8; `image`: ``(H, W, 3)`` uint8; `true`, `true_labels`: ``(H, W)``
    int32 and uint8.
    """
    objects = split(labels, None, image)
    strokes = np.full(labels.shape, -1, np.int32)
    scores = [object_scores(objects, true, labels, true_labels)]
    for _ in range(clicks):
        stroke = _worst(objects, true)
        if stroke is None:
            scores.append(scores[-1])
            continue
        place, value = stroke
        strokes[place] = value
        objects = update(objects, labels, place, None, image, strokes=strokes)
        scores.append(object_scores(objects, true, labels, true_labels))
    return scores


def _worst(
    objects: NDArray[np.int32], true: NDArray[np.int32]
) -> tuple[NDArray[np.bool_], int] | None:
    """Return the pixels of the stroke that mends most pixels, and its value; None if none does."""
    found_ids, true_ids, shared = overlap(objects, true)
    both, true_areas = shared[:-1, :-1], shared.sum(axis=0)[:-1]
    areas = shared.sum(axis=1)[:-1]
    best: tuple[int, str, int, int] | None = None
    for row, number in enumerate(found_ids.tolist()):
        inside = np.flatnonzero(both[row] > 0.5 * true_areas)
        if len(inside) > 1:
            smallest = min(inside.tolist(), key=lambda n: both[row, n])
            choice = (int(both[row, smallest]), "cut", number, int(true_ids[smallest]))
            best = max(best or choice, choice)
    for column in range(len(true_ids)):
        inside = np.flatnonzero(both[:, column] > 0.5 * areas)
        if len(inside) > 1:
            order = sorted(inside.tolist(), key=lambda n: -both[n, column])
            one, other = order[0], order[1]
            choice = (int(both[other, column]), "merge", int(found_ids[one]), int(found_ids[other]))
            best = max(best or choice, choice)
    if best is None:
        return None
    _, kind, first, second = best
    if kind == "cut":
        return boundary((objects == first) & (true == second), objects == first), CUT
    return _middle(objects == first) | _middle(objects == second), first


def _middle(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the innermost pixel of a region."""
    from scipy import ndimage

    distance = ndimage.distance_transform_edt(inside)
    out = np.zeros(inside.shape, bool)
    out.flat[int(distance.argmax())] = True
    return out


def mean_scores(scores: list[dict[str, float]]) -> dict[str, Any]:
    """Average scores over images; splits and merges are summed."""
    return {
        key: (
            int(sum(s[key] for s in scores))
            if key in ("splits", "merges")
            else float(np.mean([s[key] for s in scores]))
        )
        for key in scores[0]
    }


def evaluate_objects_steps(
    segmenter: SegmenterLike | None,
    data: EvaluationSet,
    *,
    clicks: int = 0,
    limit: int | None = None,
) -> Steps[dict[str, Any]]:
    """Measure objects: those of the true class masks, and of the segmenter's labels."""
    items = [item for item in spread_evenly(data.items, limit) if _path(item).is_file()]
    if not items:
        raise InputError(
            "This set has no true objects: put 16-bit PNGs of ids into instances/ beside masks/."
        )
    scores: dict[str, list[list[dict[str, float]]]] = {"masks": [], "end_to_end": []}
    for index, item in enumerate(items):
        yield Progress(index, len(items), f"Image {index + 1} of {len(items)}")
        true, mask, image = true_objects(item), item.mask(), item.image()
        if true.shape != mask.shape:
            raise InputError(f"{_path(item)} is of another size than the mask.")
        scores["masks"].append(corrected_scores(mask, image, true, mask, clicks))
        if segmenter is None:
            continue
        case = yield from case_steps(segmenter, data, item, labels="known", at=(index, len(items)))
        if case is not None:
            truth = item.asked(mask, case.known)
            asked = np.where(truth > 0, true, 0).astype(np.int32)
            labels = case.stages["refined"]
            scores["end_to_end"].append(corrected_scores(labels, image, asked, truth, clicks))
    found: dict[str, Any] = {"images": len(items)}
    for key, curves in scores.items():
        if curves:
            found[key] = mean_scores([curve[0] for curve in curves])
            if clicks:
                after = [[score["pq"] for score in curve] for curve in curves]
                found[key]["pq_after"] = np.mean(after, axis=0).tolist()
    return found


def true_objects(item: EvaluationItem) -> NDArray[np.int32]:
    """Read the true objects of an image: ``(H, W)`` int32."""
    path = _path(item)
    with open_picture(path) as picture:
        if picture.mode not in ("I;16", "I;16B", "I", "L", "P"):
            raise InputError(f"{path} is no 16-bit PNG of ids.")
        try:
            return np.array(picture).astype(np.int32)
        except (OSError, SyntaxError, ValueError) as error:
            raise InputError(f"{path} is damaged ({error}).") from error


def _path(item: EvaluationItem) -> Any:
    return item.mask_path.parent.parent / "instances" / f"{item.stem}.png"
