"""``wildseg evaluate --series``: measure the class memory on images in sequence."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from napari_wildseg.cli import arguments

if TYPE_CHECKING:
    from napari_wildseg.engine.segmenter import Segmenter
    from napari_wildseg.evaluation import EvaluationSet

_FOREST = "forest"


def add_series_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a series."""
    group = parser.add_argument_group("series")
    group.add_argument(
        "--series",
        action="store_true",
        help="images in seeded orders, each remembered before the next one: with the class memory "
        "and without; --compare forest adds a pixel classifier as ilastik has it",
    )
    group.add_argument(
        "--finish",
        action="store_true",
        help="with --series: remember each image as its true mask, not as the annotator left it",
    )
    group.add_argument(
        "--orders",
        type=arguments.positive,
        metavar="N",
        help="with --series: in how many orders (default: 3)",
    )


def run_series(args: argparse.Namespace, segmenter: Segmenter, data: EvaluationSet) -> int:
    """Evaluate a series and print it."""
    from napari_wildseg.cli.console import format_figures, print_json, print_line, run_steps
    from napari_wildseg.engine.memory import ClassMemory
    from napari_wildseg.evaluation import series_steps

    found = run_steps(
        series_steps(
            segmenter,
            data,
            ClassMemory,
            clicks=args.clicks,
            annotator=args.annotator,
            orders=args.orders or 3,
            finish=args.finish,
            forest=args.compare is not None,
            limit=args.limit,
        )
    )
    if args.json:
        print_json(found.to_json())
    else:
        print_line(format_figures({"": found.summary()}))
    return 0


def check_series_arguments(args: argparse.Namespace) -> None:
    """Raise `InputError` for arguments that cannot be combined."""
    from napari_wildseg.engine.errors import InputError

    if not args.series:
        if args.finish or args.orders is not None:
            raise InputError("--finish and --orders belong to a series: add --series.")
        if args.compare and _FOREST in args.compare.split(","):
            raise InputError("The forest learns from earlier images: add --series to compare it.")
        return
    if args.labels == "auto":
        raise InputError("A series needs known labels: leave out --labels auto.")
    if args.compare not in (None, _FOREST):
        raise InputError("A series can be compared with the forest alone: --compare forest.")
    if args.plot:
        raise InputError("--plot draws a comparison of refiners: leave out --series.")
