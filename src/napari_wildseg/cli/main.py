"""Entry point of ``wildseg``: runs the command and prints every error as one line."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from napari_wildseg.engine.errors import InputError, WildsegError, out_of_memory
from napari_wildseg.engine.models.light_import import allow

COMMANDS = (
    "segment",
    "suggest",
    "refine",
    "objects",
    "batch",
    "remember",
    "evaluate",
    "convert",
    "models",
    "benchmark",
)
"""Commands; each is a module ``commands/NAME_command.py``.

A module has ``HELP``, ``add_arguments(parser)`` and ``run(args)``.
"""

_DEBUG = "WILDSEG_DEBUG"


class _Parser(argparse.ArgumentParser):
    """An argument parser that prints errors in one line."""

    def error(self, message: str) -> NoReturn:
        """Exit with status 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def build_parser() -> _Parser:
    """Return the parser with all commands."""
    parser = _Parser(
        prog="wildseg",
        description="Type class names, get editable masks: open-vocabulary segmentation.",
        epilog="IMAGE may be a picture file or sample:NAME, for example sample:coffee.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(
        title="commands", dest="command", metavar="COMMAND", required=True, parser_class=_Parser
    )
    for name in COMMANDS:
        module = import_module(f"napari_wildseg.cli.commands.{name}_command")
        command = commands.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the ``wildseg`` command."""
    from napari_wildseg.cli.console import flush

    allow()
    _open_closed_streams()
    try:
        parsed = build_parser().parse_args(arguments)
        _check_folder()  # PyTorch aborts the process if it is missing
        status = int(parsed.run(parsed) or 0)
        flush()
    except SystemExit as stop:  # argparse has printed the reason
        return stop.code if isinstance(stop.code, int) else 1
    except KeyboardInterrupt:
        return _print_error("interrupted", 130)
    except BrokenPipeError:
        _drop_output()  # the reader closed the pipe
        return 1
    except WildsegError as error:
        if not _output_works():
            _drop_output()
        return _print_error(str(error), error.exit_status)
    except Exception as error:
        if out_of_memory(error):
            return _print_error("there is not enough memory for this image: make it smaller", 1)
        detail = " ".join(str(error).split())
        name = type(error).__name__
        return _print_error(
            f"something went wrong inside ({f'{name}: {detail}' if detail else name}); "
            f"set {_DEBUG}=1 to see where",
            1,
        )
    return status


def _open_closed_streams() -> None:
    """Open closed standard streams, so that no file gets their descriptors."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _output_works() -> bool:
    """Whether stdout can be flushed; its disk may be full, or it is closed."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):
        return False
    return True


def _drop_output() -> None:
    """Redirect stdout to the null device, so that Python does not fail to flush it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _check_folder() -> None:
    try:
        Path.cwd()
    except OSError:
        raise InputError("The working directory was deleted: change to one that exists.") from None


def _print_error(message: str, status: int) -> int:
    """Print an error as one line on stderr and return the exit status."""
    if os.environ.get(_DEBUG, "") not in ("", "0") and status != 130:
        import traceback

        traceback.print_exc()
    from napari_wildseg.cli.console import print_notice

    print_notice(" ".join(message.split()))
    return status


class _Version(argparse.Action):
    """Prints the version, which is looked up only then."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from napari_wildseg import __version__

        print(f"wildseg {__version__}")
        parser.exit()
