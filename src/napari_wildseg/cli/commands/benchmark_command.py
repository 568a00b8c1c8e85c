"""``wildseg benchmark``: measure the speed ratios of the method on this machine."""

import argparse

from napari_wildseg.cli import arguments

HELP = "measure the speed ratios of the method on this machine (a few minutes)"

_ROWS = (
    ("relevance_speedup", "plain autograd formula / ours, 20 classes, ViT-B-16", "{:.1f}"),
    ("relevance_max_error", "largest relative difference between the two", "{:.1e}"),
    ("class_cost", "20 classes / 1 class, encoding included", "{:.3f}"),
    ("segment_over_forward", "auto-segment / the bare forward passes of its views", "{:.2f}"),
    ("rerun_over_segment", "refine after a correction / auto-segment", "{:.3f}"),
    ("memory_over_segment", "auto-segment with a memory of 50 images / without", "{:.2f}"),
    ("learn_over_segment", "learning from one more image / auto-segment", "{:.2f}"),
    ("memory_mb_per_image", "megabytes of a memory on disk, an image", "{:.2f}"),
    ("refine_speedup_over_kim2020", "1000 iterations of kim2020 / our refinement", "{:.0f}"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--repeats",
        type=int,
        default=3,
        metavar="N",
        help="runs of each side of a ratio, the fastest of which counts (default: 3)",
    )
    arguments.add(parser, "--json")


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    from napari_wildseg.cli.console import format_table, print_json, print_line, run_steps
    from napari_wildseg.engine.errors import InputError
    from napari_wildseg.evaluation.benchmark import benchmark_steps

    if args.repeats < 1:
        raise InputError("--repeats must be at least 1.")
    ratios = run_steps(benchmark_steps(repeats=args.repeats))
    if args.json:
        print_json(ratios)
        return 0
    rows = [[name, form.format(ratios[name]), meaning] for name, meaning, form in _ROWS]
    print_line(format_table(["ratio", "measured", "what it is"], rows))
    return 0
