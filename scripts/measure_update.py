"""What *Update the rest* costs, compared with the first run of the batch.

    python scripts/measure_update.py [--images 200] [--reviewed 4]

The images are crops of 160 x 120 pixels of scikit-image's photographs, with three names. The first
images of the review order are accepted as they are, and the rest is updated, with one worker. Times
are seconds of processor time, which other programs on the machine hardly change. What comes before
the first image (loading the model, and in an update learning) is told apart, so that the ratio of
other numbers of images can be worked out: "ratio at 200" is that.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from napari_wildseg.batch import Batch, ReviewQueue, batch_steps
from napari_wildseg.batch.job import STARTED
from napari_wildseg.batch.memory_in_use import ENCODINGS
from napari_wildseg.engine.images.rgb import as_rgb
from napari_wildseg.engine.pictures.samples import load_sample

SAMPLES = ("astronaut", "coffee", "chelsea", "camera", "rocket")
NAMES = "person, cat, cup of coffee"
SIZE = (120, 160)


def write_crops(folder: Path, count: int) -> None:
    """Fill a folder with crops at seeded places."""
    folder.mkdir()
    random = np.random.default_rng(0)
    pictures = [as_rgb(load_sample(name)) for name in SAMPLES]
    for number in range(count):
        picture = pictures[number % len(pictures)]
        top, left = (random.integers(0, picture.shape[a] - SIZE[a] + 1) for a in (0, 1))
        crop = picture[top : top + SIZE[0], left : left + SIZE[1]]
        Image.fromarray(crop).save(folder / f"{number:04}.png")


def timed(batch: Batch) -> tuple[float, float, int]:
    """Run a batch; return seconds before the first image, seconds of the images, their number."""
    started = time.process_time()
    first, done = None, 0
    for progress in batch_steps(batch):
        if first is None and progress.stage == STARTED:
            first = time.process_time()
        done += progress.record is not None
    assert first is not None
    return first - started, time.process_time() - first, done


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--reviewed", type=int, default=4)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        write_crops(root / "images", args.images)
        batch = Batch(
            str(root / "images"), NAMES, root / "out", cache_dir=root / "out" / ENCODINGS, workers=1
        )
        before, images, count = timed(batch)
        queue = ReviewQueue(batch.folder)
        for place in range(args.reviewed):
            queue.mark(queue.records[place].name)
        queue.publish()
        update = Batch("", "", batch.folder, update=True, workers=1, cache_dir=batch.cache_dir)
        before_update, updated, rest = timed(update)
    each, again = images / count, updated / rest
    at_200 = (before_update + 196 * again) / (before + 200 * each)
    figures = {
        "images": count,
        "updated": rest,
        "first run": round(before + images, 2),
        "before its first image": round(before, 2),
        "an image": round(each, 3),
        "update": round(before_update + updated, 2),
        "before its first image, learning included": round(before_update, 2),
        "an image again": round(again, 3),
        "ratio": round((before_update + updated) / (before + images), 3),
        "ratio at 200": round(at_200, 3),
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
