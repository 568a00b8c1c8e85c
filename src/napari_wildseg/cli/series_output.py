"""``wildseg evaluate --series``: measure the class memory on images in sequence."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from napari_wildseg.cli import arguments

if TYPE_CHECKING:
    from napari_wildseg.engine.segmenter import Segmenter
    from napari_wildseg.evaluation import EvaluationSet, Series

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
    from napari_wildseg.cli.console import print_json, print_line, run_steps
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
        print_line(_series_text(found))
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


def _series_text(found: Series) -> str:
    """Format the metrics as text."""
    from napari_wildseg.cli.console import format_table

    summary = found.summary()
    rows = []
    late = [name for name in ("from 3", "from 5") if name in summary]
    shown = {**summary["places"], **{name: summary[name] for name in late}}
    for name in late:
        shown[f"{name}, without background"] = summary["classes"][name]
    for place, curves in shown.items():
        for name, curve in curves.items():
            rows.append([f"{place}, {name}", *[f"{iou:.3f}" for iou in curve]])
    dabs = ["0 dabs", *map(str, range(1, len(rows[0]) - 1))]
    lines = [f"{summary['images']} images", format_table(["place", *dabs], rows)]
    if summary["worse from 3"] is not None:
        lines.append(f"worse by more than 0.05 from place 3 on: {summary['worse from 3']:.1%}")
    if len(dabs) > 1:
        noc = ", ".join(f"{value:.1f} {name}" for name, value in summary["noc85"].items())
        lines.append(f"dabs to 85 %: {noc}")
    return "\n\n".join(lines)
