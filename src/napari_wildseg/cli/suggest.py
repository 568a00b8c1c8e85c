"""``wildseg suggest``: what may be in an image."""

from __future__ import annotations

import argparse

from napari_wildseg.cli import arguments

HELP = "suggest class names for an image"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The command's parser.
    """
    arguments.add_image(parser)
    parser.add_argument(
        "--vocabulary",
        default="coco",
        metavar="V",
        help="voc, coco, ade20k, imagenet or a file with one name a line (default: coco)",
    )
    parser.add_argument(
        "--top",
        type=arguments.positive,
        default=10,
        metavar="N",
        help="how many to print (default: 10)",
    )
    arguments.add_model(parser)
    arguments.add_cache(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Suggest names for one image.

    Parameters
    ----------
    args : argparse.Namespace
        The parsed arguments.
    """
    from napari_wildseg.cli.console import print_json, run_steps, say, table
    from napari_wildseg.engine.pictures import read_picture, stem_of

    image = read_picture(args.image)

    from napari_wildseg.engine.segmenter import Segmenter

    segmenter = Segmenter(
        args.model,
        views=args.views,
        method=args.method,
        device=args.device,
        cache_dir=args.cache_dir,
    )
    run_steps(segmenter.set_image_steps(image))
    found = segmenter.suggest(args.vocabulary, top=args.top)
    if args.json:
        print_json(
            {
                "image": stem_of(args.image),
                "vocabulary": args.vocabulary,
                "model": args.model,
                "suggestions": [{"name": name, "score": float(score)} for name, score in found],
            }
        )
    else:
        say(table(["name", "score"], [[name, f"{score:.3f}"] for name, score in found]))
    return 0
