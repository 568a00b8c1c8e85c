"""``wildseg segment``: segment one image, large image or stack into named classes."""

import argparse
from contextlib import ExitStack
from pathlib import Path

from napari_wildseg.cli import arguments

HELP = "segment an image into the classes you name"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    arguments.add(parser, "image")
    parser.add_argument(
        "--labels",
        required=True,
        metavar="NAMES",
        help='class names, for example "cat, cup of coffee=cup|mug"; the JSON file of a class '
        "set; or auto, for what the model finds in the vocabulary",
    )
    parser.add_argument(
        "--background",
        default="default",
        metavar="WORDS",
        help='words that compete with the classes, for example "sky, road"; none for no words',
    )
    parser.add_argument(
        "--save-classes",
        type=Path,
        metavar="FILE",
        help="also write the classes (names, prompts, colours, ids) to a JSON file",
    )
    arguments.add(parser, "--vocabulary", *arguments.MODEL, "--cache-dir", "--memory")
    arguments.add(parser, "--threshold", "--no-refine", "--out", "--overwrite", "--json")
    parser.add_argument(
        "--detail",
        type=arguments.positive,
        metavar="N",
        help="look at the image through windows as well, in which a pixel of the network shows N "
        "of the image; by default images of more than 16 megapixels, as fine as 400 windows allow",
    )
    parser.add_argument(
        "--corrections",
        type=Path,
        metavar="FILE",
        help="for a stack: an .npy of its shape, -1 where nothing is corrected; corrected planes "
        "are carried over to the others",
    )
    parser.add_argument(
        "--objects",
        action="store_true",
        help="also write the objects of the classes: <stem>.objects.png (16-bit ids) and .csv",
    )


def run(args: argparse.Namespace) -> int:
    """Segment one image."""
    from napari_wildseg.cli import objects_output, result_files
    from napari_wildseg.cli.console import print_json, print_notice, run_steps
    from napari_wildseg.cli.large_run import segment_large
    from napari_wildseg.cli.stack_run import segment_stack
    from napari_wildseg.engine.errors import InputError
    from napari_wildseg.engine.names.class_texts import checked_background
    from napari_wildseg.engine.names.vocabularies import load_vocabulary
    from napari_wildseg.engine.pictures.picture_files import read_picture, stem_of
    from napari_wildseg.io.atomic import atomic_path, refuse_existing
    from napari_wildseg.io.class_sets import class_set_path, write_class_set
    from napari_wildseg.io.image_files import open_large
    from napari_wildseg.io.safety.owners import check_owner, refuse_inputs

    # Arguments are checked before the model is loaded.
    automatic = args.labels.strip().casefold() == "auto"
    names = load_vocabulary(args.vocabulary) if automatic else ()
    classes = () if automatic else arguments.parse_label_argument(args.labels)
    background = checked_background(args.background)
    memory = arguments.read_memory(args.memory)
    stem = stem_of(args.image)
    picture = open_large(args.image, args.detail)
    if picture is not None:
        with picture:
            if args.objects:
                raise InputError(
                    "--objects is for single pictures that are seen whole: run wildseg objects "
                    "on the labels."
                )
            if automatic:
                raise InputError(
                    "--labels auto is for single pictures that are seen whole: "
                    "name the classes, or take them from wildseg suggest on a part."
                )
            if picture.planes > 1:
                return segment_stack(args, picture, classes, stem, background, memory)
            return segment_large(args, picture, classes, stem, background, memory)
    if args.corrections is not None:
        raise InputError(
            "--corrections is for stacks here: use wildseg refine for a single picture."
        )
    paths = result_files.result_paths(args.out, stem)
    read = [args.image, args.labels, args.vocabulary]
    object_paths = objects_output.object_paths(args.out, stem) if args.objects else {}
    result_files.check_outputs(paths | object_paths, read, overwrite=args.overwrite)
    class_set = None if args.save_classes is None else class_set_path(args.save_classes)
    if class_set is not None:
        refuse_existing([class_set], overwrite=args.overwrite)
        check_owner(class_set)
        refuse_inputs([class_set], [*read, *paths.values()], "choose another file")
    image = read_picture(args.image)

    from napari_wildseg.engine.auto_segment import segment_auto_steps
    from napari_wildseg.engine.images.rgb import as_rgb
    from napari_wildseg.io import LabelImage

    rgb = as_rgb(image)
    segmenter = arguments.make_segmenter(args, background=background, memory=memory)
    run_steps(segmenter.set_image_steps(rgb))
    how = {"threshold": args.threshold, "refine": not args.no_refine}
    if automatic:
        result = run_steps(segment_auto_steps(segmenter, names, **how))
    else:
        result = run_steps(segmenter.segment_steps(classes, **how))
    for notice in result.notices:
        print_notice(notice)
    labels = LabelImage.from_result(result, image=stem)
    if args.no_refine:
        labels = labels.with_labels(result.pseudo_labels)
    with ExitStack() as stack:  # all files or none
        if class_set is not None:
            path = stack.enter_context(atomic_path(class_set, overwrite=args.overwrite))
            write_class_set(path, result.classes, overwrite=True)
        result_files.write_results(paths, rgb, labels, overwrite=args.overwrite)
    objects = None
    if args.objects:
        objects = objects_output.objects_in(labels, rgb)
        objects_output.write(object_paths, objects, overwrite=args.overwrite)
    if args.json:
        more = {} if objects is None else {"objects": objects_output.summary(objects, object_paths)}
        print_json(
            {
                **result_files.result_summary(labels, paths),
                **more,
                "left_out": [info.name for info in result.left_out],
                "notices": list(result.notices),
                "seconds": {key: round(value, 4) for key, value in result.seconds.items()},
            }
        )
    else:
        result_files.print_summary(labels, paths)
        if objects is not None:
            objects_output.print_objects(objects, object_paths)
    return 0
