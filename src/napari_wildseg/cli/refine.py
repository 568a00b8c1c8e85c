"""``wildseg refine``: single-image segmentation from given labels and corrections."""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_wildseg.cli import arguments

HELP = "refine a label image by the picture it belongs to, keeping your corrections"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The command's parser.
    """
    arguments.add_image(parser)
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
        "--refiner", default="default", metavar="NAME", help="single-image segmentation to use"
    )
    arguments.add_output(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Refine one label image.

    Parameters
    ----------
    args : argparse.Namespace
        The parsed arguments.
    """
    from dataclasses import replace

    from napari_wildseg.cli import results
    from napari_wildseg.cli.console import print_json
    from napari_wildseg.engine.errors import InputError
    from napari_wildseg.engine.images import as_rgb
    from napari_wildseg.engine.pictures import read_picture, stem_of
    from napari_wildseg.io import LabelImage, read_labels
    from napari_wildseg.io.corrections import read_corrections
    from napari_wildseg.io.label_image import placeholder_class

    stem = stem_of(args.image)
    paths = results.result_paths(args.out, stem)
    read = [args.image, *([] if args.corrections is None else [args.corrections])]
    results.refuse(paths, read, overwrite=args.overwrite)
    rgb = as_rgb(read_picture(args.image))
    start = read_labels(args.labels)
    if start.labels.shape != rgb.shape[:2]:
        raise InputError(
            f"{args.labels.name} is {start.labels.shape[1]} x {start.labels.shape[0]} pixels, "
            f"the image {rgb.shape[1]} x {rgb.shape[0]}: give the labels of this image."
        )
    corrections = start.corrections
    if args.corrections is not None:
        corrections = read_corrections(args.corrections, start.labels.shape)
    classes = {info.id: info for info in start.classes}
    if corrections is not None:
        for value in sorted(set(corrections[corrections > 0].tolist()) - set(classes)):
            classes[value] = placeholder_class(value)

    from napari_wildseg.engine.refine import refine

    refined = refine(rgb, start.labels, corrections, method=args.refiner)
    labels: LabelImage = replace(
        start,
        labels=refined,
        classes=tuple(classes.values()),
        image=stem,
        settings={**start.settings, "refiner": args.refiner, "refined": True},
        corrections=corrections,
    )
    results.write_results(paths, rgb, labels, overwrite=args.overwrite)
    if args.json:
        changed = int((refined != start.labels).sum())
        print_json({**results.summary(labels, paths), "changed_pixels": changed})
    else:
        results.print_summary(labels, paths)
    return 0
