"""What commands say on a terminal: progress, tables, JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from napari_wildseg.engine.errors import WildsegError
from napari_wildseg.engine.progress import Progress, Steps, drain

T = TypeVar("T")


def run_steps(steps: Steps[T]) -> T:
    """Run a job to its end, with a bar on stderr if that is a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        return drain(steps)
    from tqdm import tqdm

    layout = "{desc} {percentage:3.0f}% |{bar:24}| {elapsed}"
    try:
        with tqdm(
            desc="Starting".ljust(28), total=1, bar_format=layout, leave=False, file=sys.stderr
        ) as bar:

            def show(progress: Progress) -> None:
                bar.total = max(1, progress.total)
                bar.n = min(progress.done, bar.total)
                bar.set_description_str(progress.stage[:48].ljust(28))

            return drain(steps, show)
    finally:
        steps.close()


def print_json(value: object) -> None:
    """Print a JSON value on stdout."""
    # Beyond ASCII as escapes: any terminal and any pipe can take it.
    _print(json.dumps(value, indent=2, default=_plain))


def say(line: str = "") -> None:
    """Print a line for people on stdout; letters the terminal lacks become escapes."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"  # there is none where it is closed
    _print(line.encode(encoding, "backslashreplace").decode(encoding))


def flush() -> None:
    """Have standard output take what was printed; raise `WildsegError` if it cannot."""
    with _printing():
        if sys.stdout is not None:
            sys.stdout.flush()


def _print(text: str) -> None:
    with _printing():
        print(text)


@contextmanager
def _printing() -> Iterator[None]:
    """Turn failures of standard output into `WildsegError`; a closed pipe stays what it is."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise WildsegError(
            f"The output cannot be printed: {(error.strerror or str(error)).lower()}."
        ) from error


def warn(line: str) -> None:
    """Print a notice on stderr."""
    if sys.stderr is None:  # closed; print would take standard output instead
        return
    encoding = sys.stderr.encoding or "utf-8"
    text = f"wildseg: {line}".encode(encoding, "backslashreplace").decode(encoding)
    print(text, file=sys.stderr, flush=True)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a text table: first column left, the others right.

    Examples
    --------
    >>> print(table(["class", "IoU"], [["cat", "0.91"], ["cup of coffee", "0.8"]]))
    class           IoU
    cat            0.91
    cup of coffee   0.8
    """
    lines = [list(header), *[list(row) for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    first, *others = widths
    return "\n".join(
        "  ".join([line[0].ljust(first), *map(str.rjust, line[1:], others)]).rstrip()
        for line in lines
    )


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        return value.item()
    return str(value)
