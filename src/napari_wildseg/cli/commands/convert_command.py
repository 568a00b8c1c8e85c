"""``wildseg convert``: write a label file in another format."""

import argparse
from pathlib import Path

from napari_wildseg.cli import arguments

HELP = "write a label file in another format, chosen by the ending of OUT"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("source", type=Path, metavar="IN", help="a label file")
    parser.add_argument("target", type=Path, metavar="OUT", help="the file to write")
    parser.add_argument(
        "--instances",
        choices=("component", "class"),
        help="COCO: an instance is a connected region (the default), or a whole class",
    )
    parser.add_argument(
        "--min-instance",
        type=arguments.positive,
        metavar="N",
        help="COCO: regions of fewer pixels join the nearest instance of their class",
    )
    parser.add_argument(
        "--segmentation",
        choices=("rle", "polygon"),
        help="COCO: run lengths (the default), or polygons",
    )
    parser.add_argument(
        "--plane",
        metavar="N[,N]",
        help="of a stack, write this plane alone, counted from 0 (for formats of one plane)",
    )
    parser.add_argument(
        "--unlabelled",
        choices=("keep", "background", "nearest"),
        default="keep",
        help="what becomes of pixels without a label (255); YOLO cannot keep them",
    )
    parser.add_argument(
        "--image", metavar="NAME", help="COCO: the picture whose labels are wanted, of several"
    )
    parser.add_argument(
        "--label", metavar="NAME", help="OME-Zarr: the label image that is wanted, of several"
    )
    arguments.add(parser, "--value-255", "--overwrite")


def run(args: argparse.Namespace) -> int:
    """Convert one label file."""
    from napari_wildseg.cli.console import print_line
    from napari_wildseg.engine.errors import InputError
    from napari_wildseg.io import format_of, write_labels
    from napari_wildseg.io.labels import refuse_loss
    from napari_wildseg.io.masks.unlabelled import fill_unlabelled
    from napari_wildseg.io.safety.owners import refuse_inputs

    target = format_of(args.target)  # before anything is read
    chosen = {
        "instances": args.instances,
        "segmentation": args.segmentation,
        "min_size": args.min_instance,
    }
    options = {key: value for key, value in chosen.items() if value is not None}
    if options and target.name != "coco":
        raise InputError(
            "--instances, --min-instance and --segmentation are for COCO, files that end in .json."
        )
    source = format_of(args.source)
    if args.image is not None and source.name != "coco":
        raise InputError("--image is for COCO, files that end in .json.")
    if args.label is not None and source.name != "ome-zarr":
        raise InputError("--label is for OME-Zarr, folders that end in .zarr.")
    wanted = {"image": args.image, "label": args.label, "value_255": args.value_255}
    options_in = {key: value for key, value in wanted.items() if value is not None}
    labels = arguments.read_label_file(args.source, **options_in)
    if args.plane is not None:
        labels = labels.plane(*_numbers(args.plane))
    labels = fill_unlabelled(labels, args.unlabelled)
    refuse_loss(labels, target)
    # The input is not replaced, even with --overwrite.
    refuse_inputs(target.files(args.target), source.files(args.source), "choose another OUT")
    for path in write_labels(args.target, labels, overwrite=args.overwrite, **options):
        print_line(str(path))
    return 0


def _numbers(text: str) -> list[int]:
    from napari_wildseg.engine.errors import InputError

    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(
            f'--plane wants a number, or one an axis as in 2,5, not "{text}".'
        ) from None
