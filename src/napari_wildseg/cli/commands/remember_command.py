"""``wildseg remember``: make a class memory from finished images."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wildseg.cli import arguments

if TYPE_CHECKING:
    from napari_wildseg.engine.memory import ClassMemory

HELP = "learn classes from finished images: a labelled set, or a batch that was reviewed"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "dataset",
        type=Path,
        metavar="DATASET",
        help="images with masks (our own layout, PASCAL VOC's or COCO's), or the output folder of "
        "a batch, of which the reviewed images are taken",
    )
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="the memory, usually NAME.wildmemory",
    )
    parser.add_argument(
        "--memory", type=Path, metavar="FILE", help="begin with this memory instead of an empty one"
    )
    parser.add_argument(
        "--alike",
        action="store_true",
        help="the images are alike: one of them is enough to learn from",
    )
    arguments.add(parser, "--split", "--limit", "--value-255", *arguments.MODEL[:-1])
    arguments.add(parser, "--cache-dir", "--overwrite", "--json")


def run(args: argparse.Namespace) -> int:
    """Add the images of a set to a class memory."""
    from napari_wildseg.batch.journal import has_journal
    from napari_wildseg.batch.remember_images import (
        examples_of_batch,
        examples_of_set,
        remember_steps,
    )
    from napari_wildseg.cli.console import print_json, print_line, print_notice, run_steps
    from napari_wildseg.engine.errors import InputError
    from napari_wildseg.evaluation import open_set
    from napari_wildseg.evaluation.evaluate import spread_evenly
    from napari_wildseg.io.atomic import refuse_existing

    # Arguments are checked before the model is loaded.
    refuse_existing([args.out], overwrite=args.overwrite)
    settings = {"model": args.model, "views": args.views, "method": args.method}
    if has_journal(args.dataset):
        if args.value_255:
            raise InputError("--value-255 is about masks of a labelled set, not about a batch.")
        from napari_wildseg.batch import read_report

        sources = examples_of_batch(args.dataset)
        # A memory needs images that are encoded with the settings of the batch.
        done = read_report(args.dataset).settings
        settings = {key: done.get(key, value) for key, value in settings.items()}
    else:
        sources = examples_of_set(open_set(args.dataset, args.split, value_255=args.value_255))
    sources = list(spread_evenly(sources, args.limit))

    from napari_wildseg.engine.memory import ClassMemory
    from napari_wildseg.engine.segmenter import Segmenter

    memory = arguments.read_memory(args.memory) or ClassMemory()
    memory.alike = memory.alike or args.alike
    segmenter = Segmenter(
        **settings, device=args.device, cache_dir=args.cache_dir, cache_bytes=0, memory=memory
    )
    left_out = run_steps(remember_steps(segmenter, sources))
    for name, why in left_out.items():
        print_notice(f"{name} left out: {why}")
    if len(left_out) == len(sources):
        raise InputError(f"No image of {args.dataset} could be remembered.")
    memory.save(args.out, overwrite=args.overwrite)
    if args.json:
        print_json({**_memory_summary(memory), "left_out": left_out, "file": str(args.out)})
    else:
        print_line(_memory_table(memory))
        print_line(f"memory: {args.out}")
    return 0


def _memory_summary(memory: ClassMemory) -> dict[str, object]:
    """Return images, classes and hindsight of a memory as a JSON object."""
    hindsight = memory.hindsight()
    return {
        "images": [
            {
                "name": image.name,
                "finished": image.finished,
                "classes": list(image.classes),
                "hindsight": {
                    name: {"without": before, "with": after}
                    for name, (before, after) in hindsight.get(image.digest, {}).items()
                },
            }
            for image in memory.images
        ],
        "classes": [vars(one) for one in memory.classes],
        "digest": memory.digest,
    }


def _memory_table(memory: ClassMemory) -> str:
    """Format the hindsight of a memory, mean IoU by class, as a table."""
    from statistics import fmean

    from napari_wildseg.cli.console import format_table

    hindsight = memory.hindsight()
    rows = []
    for known in memory.classes:
        pairs = [found[known.name] for found in hindsight.values() if known.name in found]
        means = [f"{fmean(column):.3f}" for column in zip(*pairs, strict=True)] or ["-", "-"]
        rows.append([known.name, str(known.images), *means])
    return format_table(["class", "images", "IoU without memory", "IoU with memory"], rows)
