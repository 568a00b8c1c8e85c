"""``wildseg objects``: the objects of a label image, with an id each, and their table."""

import argparse
from pathlib import Path

from napari_wildseg.cli import arguments

HELP = "split the classes of a label image into objects, with an id each and a table"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("labels", type=Path, metavar="LABELS", help="a label file")
    parser.add_argument(
        "--image",
        metavar="IMAGE",
        help="the picture: touching objects are then also split where it has edges",
    )
    parser.add_argument(
        "--classes",
        metavar="NAMES",
        help="classes to split, for example cat,dog; each other class is one object (default: "
        "all classes are split)",
    )
    parser.add_argument(
        "--min-size",
        type=arguments.positive,
        default=1,
        metavar="N",
        help="drop objects of fewer pixels",
    )
    parser.add_argument(
        "--join-gap",
        type=arguments.positive,
        default=0,
        metavar="N",
        help="objects of one class that are at most N pixels apart are one",
    )
    parser.add_argument(
        "--format",
        choices=("png", "tif", "json", "txt", "zarr"),
        help="file of the ids: 16-bit PNG (the default) or TIFF (the default for stacks), COCO, "
        "YOLO, OME-Zarr",
    )
    arguments.add(parser, "--value-255", "--out", "--overwrite", "--json")


def run(args: argparse.Namespace) -> int:
    """Split one label image."""
    from napari_wildseg.cli import objects_output, result_files
    from napari_wildseg.cli.console import print_json
    from napari_wildseg.engine.errors import InputError
    from napari_wildseg.engine.images.rgb import as_rgb
    from napari_wildseg.engine.pictures.picture_files import read_picture

    labels = arguments.read_label_file(args.labels, value_255=args.value_255)
    if labels.labels.ndim > 3:
        raise InputError("These labels have planes and times: give one time (convert --plane).")
    suffix = args.format or ("tif" if labels.stacked else "png")
    paths = objects_output.object_paths(args.out, args.labels.name.split(".")[0], suffix)
    read = [args.labels, *([] if args.image is None else [args.image])]
    result_files.check_outputs(paths, read, overwrite=args.overwrite)
    picture = None
    if args.image is not None:
        if labels.stacked:
            raise InputError("Stacks are split by shape alone: leave --image out.")
        picture = as_rgb(read_picture(args.image))
    names = None if args.classes is None else [n for n in args.classes.split(",") if n.strip()]
    objects = objects_output.objects_in(
        labels, picture, names, min_size=args.min_size, join_gap=args.join_gap
    )
    objects_output.write(paths, objects, overwrite=args.overwrite)
    if args.json:
        print_json(objects_output.summary(objects, paths))
    else:
        objects_output.print_objects(objects, paths)
    return 0
