"""Figures of `wildseg batch` on a folder of images and masks: speed, and what the ranking is worth.

    python scripts/measure_batch.py DIR [--scheduler local:2] [--limit N] [--no-speed]

Speed: images a second of `wildseg batch` (a process of its own; files read and written), from the
first image begun to the last written, beside the bare forward passes of the same views of the same
images with all cores, in one run. What comes before and after (Python, the model, worker processes,
the report) is told as start-up, and the whole run with it as well. Ranking: mean
IoU of the known classes in the first and in the last third of the review order.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr

from napari_wildseg.batch import read_report
from napari_wildseg.batch.workers.local import default_workers
from napari_wildseg.engine.images.tower_geometry import geometry_of
from napari_wildseg.engine.images.views import make_views, render
from napari_wildseg.engine.models import load_model
from napari_wildseg.evaluation import EvaluationSet
from napari_wildseg.io import read_labels


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="starter")
    parser.add_argument("--views", default="default")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--scheduler")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--no-speed", action="store_true", help="the ranking alone")
    args = parser.parse_args()
    items = [
        (item, known)
        for item in EvaluationSet.open(args.folder).items[: args.limit]
        if (known := item.known(item.mask()))
    ]
    figures = {"images": len(items)}
    with tempfile.TemporaryDirectory() as folder:
        if args.no_speed:
            figures |= run(args, items, Path(folder))
        else:
            torch.set_num_threads(default_workers())
            bare = forward_seconds(items, args.model, args.views)
            figures["forward images/s"] = round(len(items) / bare, 3)
            figures |= run(args, items, Path(folder))
            ratio = figures["batch images/s"] / figures["forward images/s"]
            figures["batch over forward"] = round(ratio, 3)
    print(json.dumps(figures, indent=2))


def run(args, items, folder):
    """Run the batch; return its speed and what its order is worth."""
    (folder / "list.txt").write_text("".join(f"{item.image_path.resolve()}\n" for item, _ in items))
    names = {item.stem: [info.name for info in known] for item, known in items}
    (folder / "known.json").write_text(json.dumps(names))
    command = [sys.executable, "-m", "napari_wildseg", "batch", str(folder / "list.txt"), "--json"]
    command += ["--labels", str(folder / "known.json"), "--out", str(folder / "out")]
    command += ["--model", args.model, "--views", args.views]
    command += ["--workers", str(args.workers)] if args.workers else []
    command += ["--scheduler", args.scheduler] if args.scheduler else []
    started = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    seconds = time.perf_counter() - started
    summary = json.loads(done.stdout)
    report = read_report(folder / "out")
    by_name = {item.stem: (item, known) for item, known in items}
    order = [iou(record, *by_name[record.name], folder / "out") for record in report.review]
    third = len(order) // 3
    scores = [record.uncertainty["score"] for record in report.review]
    return {
        "batch images/s": round(summary["images_per_second"], 3),
        "start-up and end, seconds": round(seconds - summary["seconds"], 1),
        "batch images/s, whole run": round(len(items) / seconds, 3),
        "mean IoU": round(float(np.mean(order)), 3),
        "mean IoU, first third": round(float(np.mean(order[:third])), 3),
        "mean IoU, last third": round(float(np.mean(order[-third:])), 3),
        "rank correlation of uncertainty and IoU": round(float(spearmanr(scores, order)[0]), 3),
    }


def iou(record, item, known, folder):
    """Mean IoU of an image's known classes."""
    truth = item.mask()
    found = read_labels(folder / record.files[0])
    ids = {info.name: info.id for info in found.classes}
    values = []
    for info in known:
        one = (found.labels == ids[info.name]) & (truth != 255)
        other = truth == info.id
        values.append((one & other).sum() / max(1, (one | other).sum()))
    return float(np.mean(values))


def forward_seconds(items, name, preset):
    """Seconds of the image tower's forward passes of all views, nothing else."""
    model = load_model(name)
    geometry = geometry_of(model)
    total = 0.0
    for number, (item, _) in enumerate([items[0], *items]):
        image = item.image()
        views = make_views(
            image.shape[:2], preset, base_side=geometry.base_side, multiple=geometry.multiple
        )
        inputs = [
            render(image, view)[None].contiguous(memory_format=torch.channels_last)
            for view in views
        ]
        started = time.perf_counter()
        with torch.no_grad():
            for pixels in inputs:
                model.visual(pixels)
        if number:  # the first warms up
            total += time.perf_counter() - started
    return total


if __name__ == "__main__":
    main()
