"""Digests of labels and label files, to compare two versions of the code byte by byte.

    PYTHONPATH=OLD/src python scripts/label_digests.py old.json
    PYTHONPATH=NEW/src python scripts/label_digests.py new.json
    python scripts/label_digests.py --compare old.json new.json

Forty pictures are cut from scikit-image's photographs. Each is segmented in five settings, refined
after a dab and a stroke, and written in every format. Only the public interface is used, so that
versions whose modules lie elsewhere can be compared.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

PHOTOGRAPHS = {
    "astronaut": "woman, flag, rocket",
    "coffee": "cup of coffee, spoon, table",
    "chelsea": "cat",
    "rocket": "rocket, sky, tower",
    "cat": "cat, fur",
    "camera": "man, camera, grass, sky",
    "coins": "coin",
    "horse": "horse",
}
SIZES = ((96, 128), (160, 120), (128, 128), (200, 260), (73, 101))
SETTINGS = (
    {},
    {"views": "single"},
    {"threshold": 0.3},
    {"refiner": "random_walker"},
    {"threshold": 0.7, "views": "single"},
)
FORMATS = (".png", ".tif", ".npz", ".json", ".txt")


def pictures(limit: int):
    """Yield names, images and classes."""
    from skimage import data

    count = 0
    for place, (height, width) in enumerate(SIZES):
        for name, labels in PHOTOGRAPHS.items():
            if count == limit:
                return
            image = getattr(data, name)()
            if image.dtype == bool:
                image = image.astype(np.uint8) * 255
            top = (place * 37) % max(1, image.shape[0] - height)
            left = (place * 53) % max(1, image.shape[1] - width)
            yield f"{name}-{place}", image[top : top + height, left : left + width], labels
            count += 1


def digest(data: bytes) -> str:
    """Return a short digest."""
    return hashlib.sha256(data).hexdigest()[:16]


def digests(limit: int) -> dict[str, str]:
    """Return a digest for every picture, setting, correction and format."""
    import napari_wildseg as ws
    from napari_wildseg.io import LabelImage, write_labels

    found = {}
    for number, options in enumerate(SETTINGS):
        segmenter = ws.Segmenter(**options)
        for name, image, labels in pictures(limit):
            segmenter.set_image(image)
            result = segmenter.segment(labels)
            key = f"{name} {number}"
            found[key] = digest(result.labels.tobytes())
            found[f"{key} pseudo-labels"] = digest(result.pseudo_labels.tobytes())
            corrections = np.full(result.labels.shape, -1, np.int16)
            corrections[20:28, 30:38] = 1
            found[f"{key} dab"] = digest(segmenter.refine(corrections).labels.tobytes())
            corrections[50:56, 10:90] = 0
            refined = segmenter.refine(corrections)
            found[f"{key} stroke"] = digest(refined.labels.tobytes())
            if number == 0:
                with tempfile.TemporaryDirectory() as folder:
                    content = LabelImage.from_array(refined.labels, refined.classes)
                    for ending in FORMATS:
                        path = Path(folder) / f"labels-{ending[1:]}{ending}"
                        write_labels(path, content)
                        found[f"{key} {ending}"] = digest(path.read_bytes())
    return found


def main() -> int:
    """Write digests, or compare two files of them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--compare", action="store_true")
    parser.add_argument("--limit", type=int, default=40, help="number of pictures")
    arguments = parser.parse_args()
    if not arguments.compare:
        arguments.files[0].write_text(json.dumps(digests(arguments.limit), indent=0))
        return 0
    old, new = (json.loads(path.read_text()) for path in arguments.files)
    other = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    print(f"{len(old)} digests, {len(other)} differ")
    print("\n".join(other[:20]))
    return 1 if other else 0


if __name__ == "__main__":
    sys.exit(main())
