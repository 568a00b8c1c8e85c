"""Suggested names for a large image, from the whole image and from its windows."""

from collections.abc import Iterator, Sequence

from napari_wildseg.engine.images.encoding import ImageEncoding
from napari_wildseg.engine.images.views import View
from napari_wildseg.engine.large.windows import LargeEncoding
from napari_wildseg.engine.models.clip_model import CLIPModel
from napari_wildseg.engine.names.tagging import tag

_MAX_LEVEL_WINDOWS = 100
"""Levels with more windows are skipped; coarser levels show the same objects, smaller."""

_MIN_AGREEING = 3
"""Number of windows that must agree on a name. Windows overlap and come in levels, so an object is
visible in several; among hundreds of windows a single false detection is likely. Chosen on mosaics
of photographs (docs/large_images.md)."""


def suggest_large(
    encoding: LargeEncoding, model: CLIPModel, names: Sequence[str], rivals: Sequence[str]
) -> list[tuple[str, float]]:
    """Score names, without a forward pass; return them best first, with their shares."""
    best: dict[str, list[float]] = {}
    whole: dict[str, float] = {}
    views = 0
    for view in _views_as_images(encoding):
        found = tag(view, model, names, rivals)
        whole = whole or dict(found)
        views += 1
        for name, score in found:
            best[name] = sorted([*best.get(name, ()), score], reverse=True)[:_MIN_AGREEING]
    needed = min(_MIN_AGREEING, views)
    scores = {
        name: max(whole.get(name, 0.0), seen[-1] if len(seen) == needed else 0.0)
        for name, seen in best.items()
    }
    return sorted(scores.items(), key=lambda entry: -entry[1])


def _views_as_images(encoding: LargeEncoding) -> Iterator[ImageEncoding]:
    """Yield the encoding of the whole image, then of each window as an image."""
    whole = encoding.overview
    yield whole
    for number, level in enumerate(encoding.levels):
        if number and len(level.boxes) > _MAX_LEVEL_WINDOWS:
            return
        for index, (box, view) in enumerate(zip(level.boxes, level.views, strict=True)):
            rows, columns = box.shape
            shown = View(0, 0, rows, columns, view.height, view.width)
            yield ImageEncoding(
                (rows, columns), (shown,), [level.store[index]], whole.method, whole.geometry
            )
