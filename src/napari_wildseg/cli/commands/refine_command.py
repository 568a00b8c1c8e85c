"""``wildseg refine``: refine given labels with corrections."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wildseg.cli import arguments

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_wildseg.engine.classes import ClassInfo
    from napari_wildseg.engine.memory import ClassMemory

HELP = "refine a label image by the picture it belongs to, keeping your corrections"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    arguments.add(parser, "image")
    parser.add_argument(
        "labels", type=Path, metavar="LABELS", help="labels to start from; 255 is not decided yet"
    )
    parser.add_argument(
        "--corrections",
        type=Path,
        metavar="FILE",
        help="16-bit PNG (65535: not corrected) or .npy (-1: not corrected)",
    )
    parser.add_argument(
        "--near",
        type=float,
        metavar="PIXELS",
        help="change nothing farther than this from corrected pixels; with --corrections, from "
        "those that LABELS does not hold as corrections already",
    )
    parser.add_argument(
        "--lock",
        default="",
        metavar="NAMES",
        help="classes that lose no pixel of LABELS and get none, for example cat,background",
    )
    arguments.add(parser, "--refiner", "--memory", "--value-255", "--out", "--overwrite", "--json")


def run(args: argparse.Namespace) -> int:
    """Refine one label image."""
    from dataclasses import replace

    from napari_wildseg.cli import result_files
    from napari_wildseg.cli.console import print_json
    from napari_wildseg.engine.errors import InputError
    from napari_wildseg.engine.images.rgb import as_rgb
    from napari_wildseg.engine.limits import LIMIT_SETTINGS, Limits, new_strokes
    from napari_wildseg.engine.pictures.picture_files import read_picture, stem_of
    from napari_wildseg.io import LabelImage
    from napari_wildseg.io.corrections_file import read_corrections
    from napari_wildseg.io.label_image import placeholder_class

    stem = stem_of(args.image)
    paths = result_files.result_paths(args.out, stem)
    read = [args.image, *([] if args.corrections is None else [args.corrections])]
    result_files.check_outputs(paths, read, overwrite=args.overwrite)
    rgb = as_rgb(read_picture(args.image))
    start = arguments.read_label_file(args.labels, value_255=args.value_255)
    if start.labels.shape != rgb.shape[:2]:
        raise InputError(
            f"{args.labels.name} is {start.labels.shape[1]} x {start.labels.shape[0]} pixels, "
            f"the image {rgb.shape[1]} x {rgb.shape[0]}: give the labels of this image."
        )
    corrections, earlier = start.corrections, None
    if args.corrections is not None:
        earlier = start.corrections
        corrections = read_corrections(args.corrections, start.labels.shape)
    memory = arguments.read_memory(args.memory)
    if args.near is not None and corrections is None:
        raise InputError("--near needs corrections: give them with --corrections FILE.")
    classes = {info.id: info for info in start.classes}
    if corrections is not None:
        for value in sorted(set(corrections[corrections > 0].tolist()) - set(classes)):
            classes[value] = placeholder_class(value)
    names = [name.strip() for name in args.lock.split(",") if name.strip()]
    limits = Limits.checked(args.near, names, tuple(classes.values()))

    if memory is not None:
        refined = _refine_with_memory(
            memory, rgb, start.labels, corrections, tuple(classes.values()), args
        )
    else:
        from napari_wildseg.engine.refine import refine

        refined = refine(rgb, start.labels, corrections, method=args.refiner)
    refined = limits.apply(start.labels, refined, new_strokes(corrections, earlier), corrections)
    labels: LabelImage = replace(
        start,
        labels=refined,
        classes=tuple(classes.values()),
        image=stem,
        settings={
            **{key: value for key, value in start.settings.items() if key not in LIMIT_SETTINGS},
            "refiner": args.refiner,
            "refined": True,
            **limits.to_settings(),
        },
        corrections=corrections,
    )
    result_files.write_results(paths, rgb, labels, overwrite=args.overwrite)
    if args.json:
        changed = int((refined != start.labels).sum())
        print_json({**result_files.result_summary(labels, paths), "changed_pixels": changed})
    else:
        result_files.print_summary(labels, paths)
    return 0


def _refine_with_memory(
    memory: ClassMemory,
    rgb: NDArray[np.uint8],
    start: NDArray[np.uint8],
    corrections: NDArray[np.int16] | None,
    classes: tuple[ClassInfo, ...],
    args: argparse.Namespace,
) -> NDArray[np.uint8]:
    """Refine with the model that a memory belongs to, and with what it knows of the classes.

    `rgb`: ``(H, W, 3)`` uint8; `start`: ``(H, W)`` uint8 labels, 255 where nothing is decided;
    `corrections`: ``(H, W)`` int16, -1 where nothing is corrected; returns ``(H, W)`` uint8.
    """
    from napari_wildseg.cli.console import print_notice, run_steps
    from napari_wildseg.engine.errors import InputError
    from napari_wildseg.engine.segmenter import Segmenter

    source = memory.source
    if source is None or not classes:
        raise InputError("There is nothing to recall: the memory or the list of classes is empty.")
    segmenter = Segmenter(
        source.model, views=source.views, method=source.method, refiner=args.refiner, memory=memory
    )
    run_steps(segmenter.set_image_steps(rgb))
    run_steps(segmenter.segment_steps(classes, refine=False))
    result = run_steps(segmenter.refine_steps(corrections, pseudo_labels=start))
    for notice in result.notices:
        print_notice(notice)
    return result.labels
