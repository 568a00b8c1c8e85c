"""Measure where relevance maps point, and write the table of docs/development/relevance.md.

    python scripts/relevance_table.py [--towers tiny starter] [--photos DIR] [--images N]

For each image tower, method and view preset: the pointing game (Zhang et al., IJCV 2018: the share
of maps whose highest value lies on the thing that is named, or within a tolerance of it, here a
sixteenth of the picture's shorter side; and the share without tolerance) and the mean IoU of the
map, scaled to [0, 1] and cut at the one threshold that is best over all images, with the thing's
mask. The tiny
ViT is measured on generated pictures (held-out pictures of known combinations, and held-out
combinations), the starter on a data set of photographs (`--photos`, in the form that
`wildseg evaluate` reads), with the classes that cover at least 1 % of the picture. Rows of a tower
that is not measured stay as they are.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch.nn import functional as F

from napari_wildseg.engine.images.encoding import encode_steps
from napari_wildseg.engine.models import load_model
from napari_wildseg.engine.models.clip_model import CLIPModel
from napari_wildseg.engine.names.class_texts import BACKGROUND_WORDS
from napari_wildseg.engine.progress import drain
from napari_wildseg.engine.relevance import get_method

ROOT = Path(__file__).parents[1]
TINY = ROOT / "tests" / "data" / "tiny_clip.safetensors"
PAGE = ROOT / "docs" / "development" / "relevance.md"
START, END = "<!-- table: scripts/relevance_table.py -->", "<!-- end of table -->"
PRESETS = ("single", "fast", "default", "best")
TOLERANCE = 1 / 16
THRESHOLDS = np.arange(0.1, 0.9, 0.1)
Case = tuple[np.ndarray, list[str], np.ndarray]
"""Image, names, masks ``(K, H, W)``."""


def shapes(count: int, *, held_out: bool) -> Iterator[Case]:
    """Generated pictures; with ``held_out``, only the thing of the held-out combination counts."""
    sys.path.insert(0, str(ROOT / "training"))
    from tiny_shapes import draw_scene

    rng = np.random.default_rng(20_000 + held_out)
    for _ in range(count):
        scene = draw_scene(rng, held_out=held_out)
        counted = 1 if held_out else len(scene.things)
        yield scene.image, list(scene.names[:counted]), scene.masks[:counted]


def photographs(folder: Path, count: int) -> Iterator[Case]:
    """Photographs with masks."""
    from napari_wildseg.evaluation.evaluation_set import EvaluationSet

    for item in EvaluationSet.open(folder).items[:count]:
        mask = item.mask()
        known = item.known(mask)
        if known:
            names = [info.name for info in known]
            yield item.image(), names, np.array([mask == info.id for info in known])


def measure(
    model: CLIPModel, method: str, preset: str, cases: Iterator[Case], background: list[str]
) -> tuple[float, float, float, int]:
    """Pointing game, the same without tolerance, mean IoU, and the number of maps."""
    chosen = get_method(method, model)
    hits, exact, ious = [], [], []
    for image, names, masks in cases:
        encoding = drain(encode_steps(image, model, chosen, preset))
        words = model.encode_text([w for w in background if w not in names])
        maps = encoding.relevance(model, model.encode_text(names), words)
        maps = F.interpolate(maps[None], image.shape[:2], mode="bilinear")[0].numpy()
        for values, mask in zip(maps, masks, strict=True):
            peak = values.argmax()
            exact.append(mask.ravel()[peak])
            distance = distance_transform_edt(~mask).ravel()[peak]
            hits.append(distance <= min(mask.shape) * TOLERANCE)
            scaled = (values - values.min()) / max(np.ptp(values), 1e-12)
            ious.append(
                [((scaled >= t) & mask).sum() / ((scaled >= t) | mask).sum() for t in THRESHOLDS]
            )
    iou = float(np.mean(ious, 0).max())
    return float(np.mean(hits)), float(np.mean(exact)), iou, len(hits)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--towers", nargs="+", default=["tiny", "starter"])
    parser.add_argument("--photos", type=Path, help="a data set folder, for the starter")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--photo-images", type=int, default=24)
    parser.add_argument("--photo-presets", nargs="+", default=PRESETS[:3])
    parser.add_argument("--presets", nargs="+", default=PRESETS)
    arguments = parser.parse_args()
    lines = [
        "| tower | pictures | method | views | pointing game | without tolerance | IoU | maps |",
        "|---|---|---|---|---|---|---|---|",
    ]

    def row(tower: str, pictures: str, method: str, preset: str, *results: float) -> None:
        pointing, exact, iou, maps = results
        cells = [tower, pictures, method, preset, f"{pointing:.1%}", f"{exact:.1%}", f"{iou:.3f}"]
        lines.append(f"| {' | '.join(cells)} | {maps} |")
        print(lines[-1], flush=True)

    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(START)
    old, after = rest.split(END)

    def keep(tower: str) -> None:
        lines.extend(line for line in old.splitlines() if line.startswith(f"| {tower} |"))

    tiny = load_model(str(TINY), device="cpu")
    if "tiny" not in arguments.towers:
        keep("tiny ViT")
    for held_out in (False, True) if "tiny" in arguments.towers else ():
        title = "held-out combinations" if held_out else "held-out pictures"
        for method in ("attention", "clip-es", "dense"):
            for preset in arguments.presets:
                cases = shapes(arguments.images, held_out=held_out)
                row(
                    "tiny ViT",
                    title,
                    method,
                    preset,
                    *measure(tiny, method, preset, cases, ["ground"]),
                )
    if not arguments.photos or "starter" not in arguments.towers:
        keep("starter")
    else:
        starter = load_model("starter", device="cpu")
        for preset in arguments.photo_presets:
            cases = photographs(arguments.photos, arguments.photo_images)
            found = measure(starter, "cam", preset, cases, list(BACKGROUND_WORDS))
            row("starter", "photographs", "cam", preset, *found)
    table = "\n".join(lines)
    PAGE.write_text(f"{before}{START}\n\n{table}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    torch.set_num_threads(2)
    main()
