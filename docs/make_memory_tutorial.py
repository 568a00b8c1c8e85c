"""Make the images of the tutorial "Twenty images of one experiment", and its picture.

The images are generated: dark nuclei and pale fibres on stained tissue, with the true masks::

    python docs/make_memory_tutorial.py experiment            # images/, masks/, classes.json
    python docs/make_memory_tutorial.py experiment --picture  # also run it and draw it
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

PICTURE = Path(__file__).resolve().parent / "pictures" / "memory-before-after.jpg"
COUNT, FINISHED, HEIGHT, WIDTH = 20, 4, 240, 320


def texture(random: np.random.Generator, scale: float) -> NDArray[np.float64]:
    """Smooth noise of mean 0 and spread 1."""
    noise = ndimage.gaussian_filter(random.normal(size=(HEIGHT, WIDTH)), scale)
    return (noise - noise.mean()) / noise.std()


def micrograph(number: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Generate an image and its mask: 1 where a nucleus is."""
    random = np.random.default_rng(number)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    mask = np.zeros((HEIGHT, WIDTH), bool)
    for _ in range(random.integers(14, 24)):
        y, x = random.uniform(0, HEIGHT), random.uniform(0, WIDTH)
        a, b = random.uniform(9, 16), random.uniform(7, 12)
        turn = random.uniform(0, np.pi)
        u = (columns - x) * np.cos(turn) + (rows - y) * np.sin(turn)
        v = (rows - y) * np.cos(turn) - (columns - x) * np.sin(turn)
        mask |= (u / a) ** 2 + (v / b) ** 2 < 1 + 0.25 * texture(random, 6)[0, 0]
    fibres = ndimage.gaussian_filter(np.abs(texture(random, 9)), 1) < 0.12
    stain = random.uniform(0.85, 1.15)
    image = np.empty((HEIGHT, WIDTH, 3))
    image[:] = (226, 170, 200)
    image[fibres] = (190, 130, 180)
    image[mask] = (128, 82, 150)
    image += stain * (7 * texture(random, 1)[..., None] + 9 * texture(random, 12)[..., None])
    image[mask] += 16 * texture(random, 2)[mask][:, None]  # chromatin
    image = ndimage.gaussian_filter(image, (1, 1, 0)) + random.normal(0, 5, image.shape)
    return np.clip(image * (2 - stain), 0, 255).astype(np.uint8), mask.astype(np.uint8)


def write_set(folder: Path) -> None:
    """Write the images in the layout that ``wildseg evaluate`` and ``remember`` read."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for number in range(COUNT):
        image, mask = micrograph(number)
        Image.fromarray(image).save(folder / "images" / f"section_{number:02}.png")
        Image.fromarray(mask).save(folder / "masks" / f"section_{number:02}.png")
    (folder / "classes.json").write_text(json.dumps({"1": "nucleus"}))


def iou(found: NDArray[np.uint8], mask: NDArray[np.uint8]) -> float:
    """Intersection over union of the nuclei."""
    one, other = found == 1, mask == 1
    return float((one & other).sum() / max(1, (one | other).sum()))


def run(folder: Path, out: Path) -> None:
    """Batch, finish the four images that review proposes first, update the rest, draw."""
    from napari_wildseg.batch import Batch, BatchSettings, ReviewQueue, batch_steps
    from napari_wildseg.batch.memory_in_use import ENCODINGS
    from napari_wildseg.engine.progress import drain
    from napari_wildseg.io import read_labels

    batch = Batch(
        str(folder / "images"),
        "nucleus",
        out,
        settings=BatchSettings(),
        cache_dir=out / ENCODINGS,
    )
    drain(batch_steps(batch))
    before = {path.stem: read_labels(path).labels for path in sorted(out.glob("*.png"))}
    masks = {
        path.stem: np.array(Image.open(path)) for path in sorted((folder / "masks").glob("*.png"))
    }
    queue = ReviewQueue(out)
    for place in range(FINISHED):
        item = queue.open(place)
        queue.save(item, replace(item.labels, labels=masks[item.record.name]))
    queue.publish()
    drain(batch_steps(Batch("", "", out, update=True, cache_dir=out / ENCODINGS)))
    rest = [name for name in masks if name not in queue.reviewed]
    after = {name: read_labels(out / f"{name}.png").labels for name in rest}
    gains = {name: (iou(before[name], masks[name]), iou(after[name], masks[name])) for name in rest}
    for name, (one, other) in gains.items():
        print(f"{name}: {one:.2f} -> {other:.2f}")
    means = np.mean(list(gains.values()), axis=0)
    one, other = means
    print(f"mean IoU of the {len(rest)} others: {one:.3f} -> {other:.3f}")
    shown = sorted(rest, key=lambda name: gains[name][1])[len(rest) // 2]  # the median image
    print(f"in the picture: {shown}")
    image = np.array(Image.open(folder / "images" / f"{shown}.png"))
    panels = [image, outlined(image, before[shown]), outlined(image, after[shown])]
    gap = np.full((HEIGHT, 6, 3), 255, np.uint8)
    row = np.concatenate([panels[0], gap, panels[1], gap, panels[2]], 1)
    Image.fromarray(row).resize((row.shape[1] * 3 // 2, HEIGHT * 3 // 2)).save(PICTURE, quality=88)


def outlined(image: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Draw the nuclei that were found over the image."""
    inside = labels == 1
    edge = inside & ~ndimage.binary_erosion(inside, iterations=2)
    drawn = image.copy()
    drawn[inside] = (0.75 * drawn[inside] + 0.25 * np.array([255, 190, 0])).astype(np.uint8)
    drawn[edge] = (255, 190, 0)
    return drawn


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--picture", action="store_true")
    chosen = parser.parse_args()
    write_set(chosen.folder)
    if chosen.picture:
        with tempfile.TemporaryDirectory() as out:
            run(chosen.folder, Path(out) / "labels")
