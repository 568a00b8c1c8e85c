"""``wildseg evaluate``: measure the results on a folder of images and masks."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wildseg.cli import arguments, series_output

if TYPE_CHECKING:
    from napari_wildseg.engine.segmenter import Segmenter
    from napari_wildseg.evaluation import Evaluation, EvaluationSet, RefinerFigures

HELP = "measure the results on a set of images with masks: our own layout, PASCAL VOC's or COCO's"
_SHOWN_DABS = (0, 1, 3, 5, 10, 20)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="the evaluation set")
    parser.add_argument(
        "--split",
        default="val",
        metavar="NAME",
        help="which list of images, for PASCAL VOC and COCO (default: val)",
    )
    parser.add_argument(
        "--labels",
        choices=("known", "auto"),
        default="known",
        help="the classes each image is segmented into: those of its mask, or what the model "
        "suggests (default: known)",
    )
    arguments.add_value_255(parser)
    arguments.add_model(parser)
    arguments.add_cache(parser)
    parser.add_argument(
        "--limit",
        type=arguments.positive,
        metavar="N",
        help="measure on N images, spread evenly over the set",
    )
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
    arguments.add_memory(parser)
    series_output.add_series_arguments(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate on one set."""
    from napari_wildseg.cli.comparison_plot import check_plot, draw_comparison
    from napari_wildseg.cli.console import print_json, print_line, print_notice, run_steps
    from napari_wildseg.engine.errors import InputError
    from napari_wildseg.evaluation import compare_steps, evaluate_steps, open_set
    from napari_wildseg.io.atomic import atomic_write

    series_output.check_series_arguments(args)
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
        return series_output.run_series(args, segmenter, data)
    if args.compare:
        names = [name.strip() for name in args.compare.split(",") if name.strip()]
        figures = run_steps(
            compare_steps(
                segmenter,
                data,
                names,
                clicks=args.clicks,
                annotator=args.annotator,
                limit=args.limit,
            )
        )
        if args.plot:
            drawn = draw_comparison(figures, args.folder.resolve().name, args.plot.suffix)
            atomic_write(args.plot, drawn, overwrite=True)
        if args.json:
            print_json({"refiners": [one.to_json() for one in figures]})
        else:
            print_line(_comparison_table(figures))
        return 0
    found = run_steps(
        evaluate_steps(
            segmenter,
            data,
            labels=args.labels,
            clicks=args.clicks,
            annotator=args.annotator,
            limit=args.limit,
        )
    )
    if args.json:
        print_json(found.to_json())
    else:
        print_line(_evaluation_text(found))
    return 0


def measure_objects(
    args: argparse.Namespace, segmenter: Segmenter | None, data: EvaluationSet
) -> int:
    """Measure objects and print the figures."""
    from napari_wildseg.cli.console import format_table, print_json, print_line, run_steps
    from napari_wildseg.evaluation.evaluate_objects import evaluate_objects_steps

    steps = evaluate_objects_steps(segmenter, data, clicks=args.clicks, limit=args.limit)
    found = run_steps(steps)
    if args.json:
        print_json(found)
        return 0
    names = {"masks": "true masks", "end_to_end": "end to end"}
    keys = ("pq", "f1_50", "f1_75", "ap", "splits", "merges")
    rows = [
        [name, *(f"{found[key][k]:.3f}" if k not in keys[4:] else str(found[key][k]) for k in keys)]
        for key, name in names.items()
        if key in found
    ]
    print_line(f"{found['images']} images")
    print_line(
        format_table(["objects of", "PQ", "F1 0.5", "F1 0.75", "AP", "splits", "merges"], rows)
    )
    for key, name in names.items():
        for count, pq in enumerate(found.get(key, {}).get("pq_after", ())):
            print_line(f"{name}, {count} cuts and merges: PQ {pq:.3f}")
    return 0


def _evaluation_text(found: Evaluation) -> str:
    """Format the metrics as text."""
    from napari_wildseg.cli.console import format_table

    left_out = f" ({found.skipped} without a known class left out)" if found.skipped else ""
    parts = [
        f"{found.images} images{left_out}",
        format_table(
            ["class", "IoU"], [[name, f"{iou:.3f}"] for name, iou in found.per_class.items()]
        ),
        format_table(
            ["stage", "mIoU"],
            [
                *([name, f"{miou:.3f}"] for name, miou in found.stages.items()),
                ["refined, without background", f"{found.miou_classes:.3f}"],
            ],
        ),
        format_table(
            ["per image", ""],
            [
                ["mean IoU of the known classes", f"{found.image_miou:.3f}"],
                ["boundary F-score at 2 px", f"{found.boundary_f:.3f}"],
                *[[f"seconds: {key}", f"{value:.2f}"] for key, value in found.seconds.items()],
            ],
        ),
    ]
    if found.labels is not None:
        parts.append(_label_table(found.labels))
    if found.clicks is not None:
        shown = [n for n in _SHOWN_DABS if n < len(found.clicks)]
        parts.append(
            format_table(["dabs", "mean IoU"], [[str(n), f"{found.clicks[n]:.3f}"] for n in shown])
        )
        parts.append(f"dabs to 85 %: {found.noc85:.1f}")
    if found.drops is not None:
        parts.append(_drop_text(found.drops))
    return "\n\n".join(parts)


def _drop_text(drops: dict[str, Any]) -> str:
    """Format how often refinements made an image worse, `Evaluation.drops`."""
    shares = ", ".join(
        f"more than {limit}: {share:.1%}" for limit, share in drops.items() if limit[0].isdigit()
    )
    return (
        f"mean IoU lowered by a refinement ({drops['refinements']}) by {shares}; "
        f"by {drops['worst']:.3f} at worst; "
        f"right pixels of classes that were not painted lost: {drops['lost']:.2%}"
    )


def _label_table(labels: dict[str, Any]) -> str:
    """Format the metrics of suggested class names, `Evaluation.labels`, as a table."""
    from napari_wildseg.cli.console import format_table

    truths = {"present": "any pixel", "known": "1 % of the image"}
    rows = [
        [
            f"{how}, {truths[truth]}",
            *(f"{one[key]:.3f}" for key in ("map", "image_map", "f1", "precision", "recall")),
            f"{one['cut']:.2f}",
            f"{one['per_image']:.1f}",
        ]
        for truth, both in labels.items()
        for how, one in both.items()
    ]
    return format_table(
        ["labels", "mAP", "per image", "F1", "precision", "recall", "cut", "names"], rows
    )


def _comparison_table(figures: list[RefinerFigures]) -> str:
    """Format the metrics of several refiners as a table."""
    from napari_wildseg.cli.console import format_table

    dabs = [n for n in _SHOWN_DABS if n < len(figures[0].clicks)]
    header = ["refiner", "mIoU", "boundary F", "s", "s rerun", *[f"{n} dabs" for n in dabs]]
    rows = [
        [
            one.refiner,
            f"{one.miou:.3f}",
            f"{one.boundary_f:.3f}",
            f"{one.seconds:.2f}",
            "-" if one.rerun is None else f"{one.rerun:.2f}",
            *[f"{one.clicks[n]:.3f}" for n in dabs],
            "-" if one.noc85 is None else f"{one.noc85:.1f}",
        ]
        for one in figures
    ]
    return format_table([*header, "NoC85"], rows)
