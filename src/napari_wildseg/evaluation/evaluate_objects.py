"""`evaluate_objects_steps`: how good the objects of a set are."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.pictures.picture_files import open_picture
from napari_wildseg.engine.progress import Progress, Steps
from napari_wildseg.evaluation.cases import Segmenting, case_steps
from napari_wildseg.evaluation.evaluate import spread_evenly
from napari_wildseg.evaluation.evaluation_set import EvaluationItem, EvaluationSet
from napari_wildseg.evaluation.object_scores import corrected_scores, mean_scores


def evaluate_objects_steps(
    segmenter: Segmenting | None, data: EvaluationSet, *, clicks: int = 0, limit: int | None = None
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
