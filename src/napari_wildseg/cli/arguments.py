"""Arguments that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_wildseg.engine.classes import ClassInfo
    from napari_wildseg.engine.memory import ClassMemory
    from napari_wildseg.engine.segmenter import Segmenter
    from napari_wildseg.io import LabelImage


def fraction(text: str) -> float:
    """Parse a number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value


def positive(text: str) -> int:
    """Parse an integer above 0."""
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


SHARED: dict[str, dict[str, Any]] = {
    "image": {"metavar": "IMAGE", "help": "a picture file, or sample:NAME"},
    "--model": {
        "default": "starter",
        "metavar": "M",
        "help": '"starter" (bundled), "ViT-B-16/openai", "hf-hub:...", "local-dir:..." or a '
        "checkpoint file; see wildseg models",
    },
    "--device": {"default": "auto", "metavar": "D", "help": "auto, cpu, cuda or mps"},
    "--views": {
        "default": "default",
        "metavar": "PRESET",
        "help": "views of the image to encode: single, fast, default or best",
    },
    "--method": {"metavar": "NAME", "help": "relevance method (by default the one for the model)"},
    "--refiner": {
        "default": "default",
        "metavar": "NAME",
        "help": "single-image segmentation to use",
    },
    "--cache-dir": {
        "type": Path,
        "metavar": "DIR",
        "help": "keep encodings of images in this folder, so that none is encoded twice",
    },
    "--memory": {
        "type": Path,
        "metavar": "FILE",
        "help": "a class memory, what earlier images taught about the classes (wildseg remember)",
    },
    "--vocabulary": {
        "default": "coco",
        "metavar": "V",
        "help": "where names come from: voc, coco, ade20k, imagenet, lvis, imagenet22k, or a text "
        "or CSV file (default: coco)",
    },
    "--threshold": {
        "type": fraction,
        "metavar": "T",
        "help": "how sure a pixel must be to count as a class, 0 to 1 (default: 0.5)",
    },
    "--no-refine": {"action": "store_true", "help": "write the pseudo-labels as they are"},
    "--split": {
        "default": "val",
        "metavar": "NAME",
        "help": "which list of images, for PASCAL VOC and COCO (default: val)",
    },
    "--limit": {
        "type": positive,
        "metavar": "N",
        "help": "take N images, spread evenly over the set",
    },
    "--value-255": {
        "choices": ("unlabelled", "class"),
        "help": "what 255 means in masks of other programs: unlabelled, as in PASCAL VOC, or class "
        "1, as in masks of 0 and 255",
    },
    "--out": {
        "type": Path,
        "default": Path("wildseg-out"),
        "metavar": "DIR",
        "help": "folder for the results (default: wildseg-out)",
    },
    "--overwrite": {"action": "store_true", "help": "replace results that are already there"},
    "--json": {"action": "store_true", "help": "print a JSON summary on stdout"},
}
"""Arguments of more than one command, as `argparse` takes them."""

MODEL = ("--model", "--device", "--views", "--method", "--refiner")


def add(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add shared arguments by their names."""
    for name in names:
        parser.add_argument(name, **SHARED[name])


def make_segmenter(args: argparse.Namespace, **options: Any) -> Segmenter:
    """Return a segmenter by the options `MODEL` and ``--cache-dir``."""
    from napari_wildseg.engine.segmenter import Segmenter

    return Segmenter(
        args.model,
        views=args.views,
        method=args.method,
        refiner=args.refiner,
        device=args.device,
        cache_dir=args.cache_dir,
        **options,
    )


def read_memory(path: Path | None) -> ClassMemory | None:
    """Load the class memory of ``--memory``; None if it is not given."""
    if path is None:
        return None
    from napari_wildseg.engine.memory import ClassMemory

    return ClassMemory.load(path)


def parse_label_argument(text: str) -> tuple[ClassInfo, ...]:
    """Parse ``--labels``: class names, or the ``.json`` file of a class set."""
    from napari_wildseg.engine.classes import parse_classes

    if text.strip().lower().endswith(".json"):
        from napari_wildseg.io.class_sets import read_class_set

        return read_class_set(text.strip())
    return parse_classes(text)


def read_label_file(path: Path, **options: Any) -> LabelImage:
    """Read a label file and print the notices of its reader."""
    from napari_wildseg.cli.console import print_notice
    from napari_wildseg.io import read_labels as read

    labels = read(path, **options)
    for notice in labels.notices:
        print_notice(notice)
    return labels
