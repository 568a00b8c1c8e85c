"""``wildseg evaluate --series``: what remembered images do for the next ones."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from napari_wildseg.cli import arguments

if TYPE_CHECKING:
    from napari_wildseg.engine.segmenter import Segmenter
    from napari_wildseg.evaluation import EvaluationSet, Series

FOREST = "forest"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of a series."""
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


def run(args: argparse.Namespace, segmenter: Segmenter, data: EvaluationSet) -> int:
    """Measure a series."""
    from napari_wildseg.cli.console import print_json, run_steps, say
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
        say(report(found))
    return 0


def check(args: argparse.Namespace) -> None:
    """Refuse arguments that do not go together."""
    from napari_wildseg.engine.errors import InputError

    if not args.series:
        if args.finish or args.orders is not None:
            raise InputError("--finish and --orders belong to a series: add --series.")
        if args.compare and FOREST in args.compare.split(","):
            raise InputError("The forest learns from earlier images: add --series to compare it.")
        return
    if args.labels == "auto":
        raise InputError("A series needs known labels: leave out --labels auto.")
    if args.compare not in (None, FOREST):
        raise InputError("A series can be compared with the forest alone: --compare forest.")
    if args.plot:
        raise InputError("--plot draws a comparison of refiners: leave out --series.")


def report(found: Series) -> str:
    """Return the figures as a text for people."""
    from napari_wildseg.cli.console import table

    summary = found.summary()
    rows = []
    late = {name: summary[name] for name in ("from 3", "from 5") if name in summary}
    for place, curves in {**summary["places"], **late}.items():
        for name, curve in curves.items():
            rows.append([f"{place}, {name}", *[f"{iou:.3f}" for iou in curve]])
    dabs = ["0 dabs", *map(str, range(1, len(rows[0]) - 1))]
    lines = [f"{summary['images']} images", table(["place", *dabs], rows)]
    if summary["worse from 3"] is not None:
        lines.append(f"worse by more than 0.05 from place 3 on: {summary['worse from 3']:.1%}")
    if len(dabs) > 1:
        noc = ", ".join(f"{value:.1f} {name}" for name, value in summary["noc85"].items())
        lines.append(f"dabs to 85 %: {noc}")
    return "\n\n".join(lines)
