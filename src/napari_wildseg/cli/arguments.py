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


def add_image(parser: argparse.ArgumentParser) -> None:
    """Add IMAGE."""
    parser.add_argument("image", metavar="IMAGE", help="a picture file, or sample:NAME")


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add --model, --views, --method, --refiner and --device."""
    add_model_name(parser)
    parser.add_argument(
        "--views",
        default="default",
        metavar="PRESET",
        help="views of the image to encode: single, fast, default or best",
    )
    parser.add_argument(
        "--method", metavar="NAME", help="relevance method (by default the one for the model)"
    )
    parser.add_argument(
        "--refiner", default="default", metavar="NAME", help="single-image segmentation to use"
    )


def make_segmenter(args: argparse.Namespace, **options: Any) -> Segmenter:
    """Return a segmenter by the options of `add_model` and, if the command has it, `add_cache`."""
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


def add_cache(parser: argparse.ArgumentParser) -> None:
    """Add --cache-dir."""
    parser.add_argument(
        "--cache-dir",
        type=Path,
        metavar="DIR",
        help="keep encodings of images in this folder, so that none is encoded twice",
    )


def add_memory(parser: argparse.ArgumentParser) -> None:
    """Add --memory."""
    parser.add_argument(
        "--memory",
        type=Path,
        metavar="FILE",
        help="a class memory, what earlier images taught about the classes (wildseg remember)",
    )


def read_memory(path: Path | None) -> ClassMemory | None:
    """Load the class memory of ``--memory``; None if it is not given."""
    if path is None:
        return None
    from napari_wildseg.engine.memory import ClassMemory

    return ClassMemory.load(path)


def add_model_name(parser: argparse.ArgumentParser) -> None:
    """Add --model and --device."""
    parser.add_argument(
        "--model",
        default="starter",
        metavar="M",
        help='"starter" (bundled), "ViT-B-16/openai", "hf-hub:...", "local-dir:..." or a '
        "checkpoint file; see wildseg models",
    )
    parser.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda or mps")


def add_vocabulary(parser: argparse.ArgumentParser, help: str) -> None:
    """Add --vocabulary."""
    parser.add_argument(
        "--vocabulary",
        default="coco",
        metavar="V",
        help=f"{help}: voc, coco, ade20k, imagenet, lvis, imagenet22k, or a text or CSV file "
        "(default: coco)",
    )


def parse_label_argument(text: str) -> tuple[ClassInfo, ...]:
    """Parse ``--labels``: class names, or the ``.json`` file of a class set."""
    from napari_wildseg.engine.classes import parse_classes

    if text.strip().lower().endswith(".json"):
        from napari_wildseg.io.class_sets import read_class_set

        return read_class_set(text.strip())
    return parse_classes(text)


def add_value_255(parser: argparse.ArgumentParser) -> None:
    """Add --value-255."""
    parser.add_argument(
        "--value-255",
        choices=("unlabelled", "class"),
        help="what 255 means in masks of other programs: unlabelled, as in PASCAL VOC, or class 1, "
        "as in masks of 0 and 255",
    )


def read_label_file(path: Path, **options: Any) -> LabelImage:
    """Read a label file and print the notices of its reader."""
    from napari_wildseg.cli.console import print_notice
    from napari_wildseg.io import read_labels as read

    labels = read(path, **options)
    for notice in labels.notices:
        print_notice(notice)
    return labels


def add_background(parser: argparse.ArgumentParser) -> None:
    """Add --background."""
    parser.add_argument(
        "--background",
        default="default",
        metavar="WORDS",
        help='words that compete with the classes, for example "sky, road"; none for no words',
    )


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add --out and --overwrite."""
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("wildseg-out"),
        metavar="DIR",
        help="folder for the results (default: wildseg-out)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace results that are already there"
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add --json."""
    parser.add_argument("--json", action="store_true", help="print a JSON summary on stdout")


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
