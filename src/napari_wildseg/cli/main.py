"""The entry point of ``wildseg``: finds the command, and turns every error into one line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from napari_wildseg.engine.errors import InputError, WildsegError
from napari_wildseg.engine.models.light_import import allow

COMMANDS = (
    "segment",
    "suggest",
    "refine",
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


class Parser(argparse.ArgumentParser):
    """An argument parser that says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Exit with status 2.

        Parameters
        ----------
        message : str
            What is wrong.
        """
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def build_parser() -> Parser:
    """Return the parser with every command in it."""
    parser = Parser(
        prog="wildseg",
        description="Type class names, get editable masks: open-vocabulary segmentation.",
        epilog="IMAGE may be a picture file or sample:NAME, for example sample:coffee.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(
        title="commands", dest="command", metavar="COMMAND", required=True, parser_class=Parser
    )
    for name in COMMANDS:
        module = import_module(f"napari_wildseg.cli.commands.{name}_command")
        command = commands.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the ``wildseg`` command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; by default those of the process.

    Returns
    -------
    int
        Exit status: 0 done, 1 failed, 2 bad input, 130 interrupted.
    """
    from napari_wildseg.cli.console import flush

    allow()
    _hold_closed()
    try:
        parsed = build_parser().parse_args(arguments)
        _check_folder()  # PyTorch ends the process where there is none
        status = int(parsed.run(parsed) or 0)
        flush()
    except SystemExit as stop:  # argparse has said why
        return stop.code if isinstance(stop.code, int) else 1
    except KeyboardInterrupt:
        return _complain("interrupted", 130)
    except BrokenPipeError:
        _drop_output()  # whoever read it has had enough
        return 1
    except WildsegError as error:
        if not _output_works():
            _drop_output()
        return _complain(str(error), error.exit_status)
    except MemoryError:
        return _complain("there is not enough memory for this image: make it smaller", 1)
    except Exception as error:
        detail = " ".join(str(error).split())
        name = type(error).__name__
        return _complain(
            f"something went wrong inside ({f'{name}: {detail}' if detail else name}); "
            f"set {_DEBUG}=1 to see where",
            1,
        )
    return status


def _hold_closed() -> None:
    """Keep files from taking the numbers of closed standard streams, which libraries print to."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _output_works() -> bool:
    """Whether standard output takes what was printed; it may be full, or closed."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):
        return False
    return True


def _drop_output() -> None:
    """Keep Python from complaining at exit that what was printed cannot be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _check_folder() -> None:
    try:
        Path.cwd()
    except OSError:
        raise InputError("The working directory was deleted: change to one that exists.") from None


def _complain(message: str, status: int) -> int:
    """Say what is wrong on one line of stderr."""
    if os.environ.get(_DEBUG, "") not in ("", "0") and status != 130:
        import traceback

        traceback.print_exc()
    from napari_wildseg.cli.console import warn

    warn(" ".join(message.split()))
    return status


class _Version(argparse.Action):
    """Look the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from napari_wildseg import __version__

        print(f"wildseg {__version__}")
        parser.exit()
