"""Measure large images: detail against a view of the whole, seams, and what is read.

    python scripts/measure_large.py [--side 4000] [--cell 320]

Prints a line of JSON. The picture is made of pieces of sample photographs (see
tests/engine/large/composite.py), so no data set is needed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.engine.large.composite import NAMES, boundary_f, composite, mean_iou

from napari_wildseg import LargeImage, LargeSegmenter, Segmenter


def changes(labels: np.ndarray, side: int) -> np.ndarray:
    """Where the labels on the two sides of a tile border differ, along all borders."""
    rows, columns = (range(side, n, side) for n in labels.shape)
    return np.concatenate(
        [labels[y - 1] != labels[y] for y in rows]
        + [labels[:, x - 1] != labels[:, x] for x in columns]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=4000)
    parser.add_argument("--cell", type=int, default=320)
    parser.add_argument("--tile", type=int, default=512)
    args = parser.parse_args()
    image, mask = composite(args.side, args.cell)
    plain = Segmenter()
    plain.set_image(image)
    overview = plain.segment(NAMES).labels
    source = LargeImage(image)
    large = LargeSegmenter(plain.model, tile=args.tile)
    large.set_image(source)
    read = source.pixels_read
    started = time.perf_counter()
    result = large.segment(NAMES)
    tiled = np.array(result.labels)
    whole = LargeSegmenter(plain.model, tile=args.side + args.side % 2)
    whole.set_image(image)
    untiled = np.asarray(whole.segment(NAMES).labels)
    borders = changes(tiled, args.tile), changes(untiled, args.tile)
    print(
        json.dumps(
            {
                "side": args.side,
                "miou": {"whole": mean_iou(overview, mask), "windows": mean_iou(tiled, mask)},
                "boundary_f": {
                    "whole": boundary_f(overview, mask),
                    "windows": boundary_f(tiled, mask),
                },
                "seams": {
                    "pairs": int(borders[0].size),
                    "tiled": int(borders[0].sum()),
                    "untiled": int(borders[1].sum()),
                    "extra": int((borders[0] & ~borders[1]).sum()),
                    "differing pixels": int((tiled != untiled).sum()),
                },
                "read": {
                    "encoding": read / image[..., 0].size,
                    "tiles": (source.pixels_read - read) / image[..., 0].size,
                },
                "seconds": {**result.seconds, "segment": time.perf_counter() - started},
            }
        )
    )


if __name__ == "__main__":
    main()
