"""``wildseg models``: list models, or download one."""

import argparse

from napari_wildseg.cli import arguments

HELP = "list the models that are bundled, cached and downloadable, or download one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--download",
        metavar="M",
        help="download a model: one of the list, any open_clip NAME/TAG, or hf-hub:ORG/NAME",
    )
    arguments.add(parser, "--json")


def run(args: argparse.Namespace) -> int:
    """List the models, or download one."""
    from napari_wildseg.cli.console import format_table, print_json, print_line, run_steps

    if args.download is not None:
        from napari_wildseg.engine.models.weights.download import download_steps

        path = run_steps(download_steps(args.download))
        if args.json:
            print_json({"model": args.download, "path": str(path)})
        else:
            print_line(f"{args.download} is on this machine: {path}")
        return 0

    from napari_wildseg.engine.models.catalogue import CATALOGUE, downloaded_models
    from napari_wildseg.engine.models.weights.download import cache_folder

    entries = (*CATALOGUE, *downloaded_models())
    if args.json:
        print_json(
            {
                "cache": str(cache_folder()),
                "models": [{**vars(entry), "status": entry.status()} for entry in entries],
            }
        )
        return 0
    rows = [
        [
            entry.model,
            entry.status(),
            f"{entry.megabytes} MB" if entry.megabytes else "-",
            entry.licence,
        ]
        for entry in entries
    ]
    listing = format_table(["model", "", "download", "licence"], rows).splitlines()
    print_line(listing[0])
    for line, entry in zip(listing[1:], entries, strict=True):
        print_line(line)
        print_line(f"    {entry.when}")
    print_line()
    print_line(f"Downloads go to {cache_folder()}; start one with wildseg models --download MODEL.")
    return 0
