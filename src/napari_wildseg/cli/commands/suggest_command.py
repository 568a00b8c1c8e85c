"""``wildseg suggest``: suggest class names for an image."""

import argparse
import time

from napari_wildseg.cli import arguments

HELP = "suggest class names for an image"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("image", metavar="IMAGE", nargs="?", help="a picture file, or sample:NAME")
    parser.add_argument(
        "--vocabularies",
        action="store_true",
        help="list the ready vocabularies with source and licence, and stop",
    )
    parser.add_argument(
        "--top",
        type=arguments.positive,
        default=10,
        metavar="N",
        help="how many to print (default: 10)",
    )
    arguments.add(parser, "--vocabulary", *arguments.MODEL, "--cache-dir", "--memory", "--json")


def run(args: argparse.Namespace) -> int:
    """Suggest names for one image."""
    from napari_wildseg.cli.console import format_table, print_json, print_line, run_steps
    from napari_wildseg.engine.errors import InputError
    from napari_wildseg.engine.pictures.picture_files import read_picture, stem_of

    if args.vocabularies:
        _list_vocabularies(as_json=args.json)
        return 0
    if args.image is None:
        raise InputError("Which image? Give a picture file, or sample:NAME.")
    image = read_picture(args.image)
    memory = arguments.read_memory(args.memory)

    from napari_wildseg.engine.auto_segment import suggest_steps
    from napari_wildseg.engine.maps.thresholds import PRESENT_SCORE
    from napari_wildseg.engine.names.vocabularies import load_vocabulary

    names = load_vocabulary(args.vocabulary)
    segmenter = arguments.make_segmenter(args, memory=memory)
    started = time.perf_counter()
    run_steps(segmenter.set_image_steps(image))
    encoding = time.perf_counter() - started
    started = time.perf_counter()
    found = run_steps(suggest_steps(segmenter, names, args.top))
    if args.json:
        print_json(
            {
                "image": stem_of(args.image),
                "vocabulary": args.vocabulary,
                "model": args.model,
                "cut": PRESENT_SCORE,
                "suggestions": [
                    {"name": name, "score": float(score), "present": score >= PRESENT_SCORE}
                    for name, score in found
                ],
                "seconds": {
                    "load and encode": round(encoding, 4),
                    "suggest": round(time.perf_counter() - started, 4),
                },
            }
        )
    else:
        rows = [
            [name, f"{score:.3f}", "yes" if score >= PRESENT_SCORE else ""] for name, score in found
        ]
        print_line(format_table(["name", "score", "present"], rows))
    return 0


def _list_vocabularies(*, as_json: bool) -> None:
    """Print the bundled vocabularies."""
    from dataclasses import asdict

    from napari_wildseg.cli.console import format_table, print_json, print_line
    from napari_wildseg.engine.names.vocabularies import VOCABULARIES

    ready = list(VOCABULARIES.values())
    if as_json:
        print_json({"vocabularies": [asdict(one) for one in ready]})
        return
    rows = [[one.name, str(one.count), one.title, one.source, one.licence] for one in ready]
    print_line(format_table(["name", "names", "what", "source", "licence of the list"], rows))
