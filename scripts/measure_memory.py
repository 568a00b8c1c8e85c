"""Time and peak memory of `wildseg segment` on a large picture.

    python scripts/measure_memory.py [--side 10000] [--folder DIR] [-- further options]

The picture, `--side` pixels along each side, is a zarr array without levels, laid out with sample
photographs of various sizes; no data set is needed. It is made once and kept in `--folder`. What
follows ``--`` is handed to `wildseg segment`. Prints a line of JSON: seconds on the clock, seconds
of processor time, and the peak of memory resident in the process that segments.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import zarr
from PIL import Image
from skimage import data

NAMES = "cat, cup of coffee, rocket, motorcycle, astronaut"
_CHUNK = 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, help="where the picture is kept (default: nowhere)")
    parser.add_argument("--labels", default=NAMES)
    parser.add_argument("options", nargs="*", help="of wildseg segment")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        picture = (args.folder or Path(temporary)) / f"tiled-{args.side}.zarr"
        if not picture.exists():
            make(picture, args.side)
        command = [sys.executable, "-m", "napari_wildseg", "segment", str(picture), "--json"]
        command += ["--labels", args.labels, "--out", f"{temporary}/out", *args.options]
        started = time.perf_counter()
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        seconds = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)  # the one child there was
    summary = json.loads(done.stdout)
    unit = 1 if sys.platform == "darwin" else 1024
    figures = {
        "side": args.side,
        "detail": summary["settings"]["detail"],
        "seconds": round(seconds, 1),
        "processor seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak GB": round(used.ru_maxrss * unit / 1e9, 2),
        "stages": summary["seconds"],
        "shares": {c["name"]: round(c["share"], 3) for c in summary["classes"]},
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
    }
    print(json.dumps(figures))


def make(path: Path, side: int, seed: int = 0) -> None:
    """Lay out sample photographs of various sizes, mirrored or not, row by row."""
    random = np.random.default_rng(seed)
    photos = [data.chelsea(), data.coffee(), data.rocket(), data.stereo_motorcycle()[0]]
    photos.append(data.astronaut())
    out = zarr.open_array(
        path, mode="w", shape=(side, side, 3), chunks=(_CHUNK, _CHUNK, 3), dtype="uint8"
    )
    for top in range(0, side, _CHUNK):
        strip = np.zeros((min(_CHUNK, side - top), side, 3), np.uint8)
        left = 0
        while left < side:
            photo = photos[random.integers(len(photos))]
            scale = strip.shape[0] / photo.shape[0]
            size = (max(1, round(photo.shape[1] * scale)), strip.shape[0])
            shown = np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BICUBIC))
            shown = shown[:, ::-1] if random.integers(2) else shown
            strip[:, left : left + size[0]] = shown[:, : side - left]
            left += size[0]
        out[top : top + strip.shape[0]] = strip


if __name__ == "__main__":
    main()
