"""``wildseg evaluate``: measure the results on a folder of images and masks."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


HELP = "measure the results on a set of images with masks: our own layout, PASCAL VOC's or COCO's"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="the evaluation set")
    parser.add_argument(
        "--labels",
        choices=("known", "auto"),
        default="known",
        help="the classes each image is segmented into: those of its mask, or what the model "
        "suggests (default: known)",
    )
    arguments.add(parser, "--split", "--value-255", *arguments.MODEL, "--cache-dir", "--limit")
    parser.add_argument(
        "--clicks",
        type=arguments.positive,
        default=0,
        metavar="N",
        help="let a simulated annotator paint up to N dabs on each image",
    )
    parser.add_argument(
        "--annotator",
        choices=("dab", "stroke", "fill", "person"),
        default="dab",
        help="with --clicks: paint dabs, strokes along the middle of what is wrong, all of it, or "
        "strokes that slip as a person's do (default: dab)",
    )
    parser.add_argument(
        "--compare",
        metavar="NAMES",
        help="refiners to run side by side on the same seeds, for example default,random_walker; "
        "with --series: forest",
    )
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help="with --compare: also draw the figures, as .png, .svg or .pdf; replaces the file",
    )
    parser.add_argument(
        "--objects",
        nargs="?",
        const="all",
        choices=("all", "masks"),
        help="measure objects on a set with instances/: of the true masks and end to end, or, "
        "with masks, of the true masks alone; --clicks then cuts and merges",
    )
    add_series_arguments(parser)
    arguments.add(parser, "--memory", "--json")


def run(args: argparse.Namespace) -> int:
    """Evaluate on one set."""
    from napari_wildseg.cli.comparison_plot import check_plot, draw_comparison
    from napari_wildseg.cli.console import print_notice, run_steps
    from napari_wildseg.engine.errors import InputError
    from napari_wildseg.evaluation import compare_steps, evaluate_steps, open_set
    from napari_wildseg.io.atomic import atomic_write

    check_series_arguments(args)
    data = open_set(args.folder, args.split, value_255=args.value_255)
    if data.left_out:
        few = ", ".join(data.left_out[:5]) + (", ..." if len(data.left_out) > 5 else "")
        print_notice(f"{len(data.left_out)} pictures without a mask (.png) are left out: {few}")
    if args.compare and args.labels == "auto":
        raise InputError("--compare needs known labels: leave out --labels auto.")
    if args.plot:
        if not args.compare:
            raise InputError("--plot draws a comparison: add --compare with two or more refiners.")
        check_plot(args.plot)

    if args.objects and (args.compare or args.series or args.labels == "auto"):
        raise InputError("--objects goes with known labels alone: leave the other figures out.")
    if args.memory and args.objects != "all":
        raise InputError("--memory goes with --objects, for the figures end to end.")
    if args.objects == "masks":
        return measure_objects(args, None, data)

    segmenter = arguments.make_segmenter(args, memory=arguments.read_memory(args.memory))
    if args.objects:
        return measure_objects(args, segmenter, data)
    if args.series:
        return run_series(args, segmenter, data)
    how = {"clicks": args.clicks, "annotator": args.annotator, "limit": args.limit}
    if args.compare:
        names = [name.strip() for name in args.compare.split(",") if name.strip()]
        figures = run_steps(compare_steps(segmenter, data, names, **how))
        if args.plot:
            drawn = draw_comparison(figures, args.folder.resolve().name, args.plot.suffix)
            atomic_write(args.plot, drawn, overwrite=True)
        found = [one.to_json() for one in figures]
        columns = {one["refiner"]: {k: one[k] for k in one if k != "refiner"} for one in found}
        print_found(args, {"refiners": found}, **columns)
        return 0
    measured = run_steps(evaluate_steps(segmenter, data, labels=args.labels, **how))
    print_found(args, measured.to_json())
    return 0


def measure_objects(
    args: argparse.Namespace, segmenter: Segmenter | None, data: EvaluationSet
) -> int:
    """Measure objects and print the figures."""
    from napari_wildseg.cli.console import run_steps
    from napari_wildseg.evaluation.evaluate_objects import evaluate_objects_steps

    steps = evaluate_objects_steps(segmenter, data, clicks=args.clicks, limit=args.limit)
    found = run_steps(steps)
    print_found(args, found)
    return 0


def print_found(args: argparse.Namespace, found: dict[str, Any], **columns: Any) -> None:
    """Print figures as JSON, or as a table with a column each."""
    from napari_wildseg.cli.console import format_figures, print_json, print_line

    if args.json:
        print_json(found)
    else:
        print_line(format_figures(columns or {"": found}))
