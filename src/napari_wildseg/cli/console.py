"""Output of commands on the terminal: progress, tables, notices and JSON."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from napari_wildseg.engine.errors import WildsegError
from napari_wildseg.engine.progress import Progress, Steps, drain

_T = TypeVar("_T")


def run_steps(steps: Steps[_T]) -> _T:
    """Run a job to its end, with a progress bar if stderr is a terminal."""
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
    # Non-ASCII characters are escaped, so that every terminal and pipe accepts them.
    _print(json.dumps(value, indent=2, default=_plain))


def print_line(line: str = "") -> None:
    """Print a line on stdout; characters that its encoding lacks are escaped."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"  # None if closed
    _print(line.encode(encoding, "backslashreplace").decode(encoding))


def flush() -> None:
    """Flush stdout; raise `WildsegError` if that fails."""
    with _printing():
        if sys.stdout is not None:
            sys.stdout.flush()


def _print(text: str) -> None:
    with _printing():
        print(text)


@contextmanager
def _printing() -> Iterator[None]:
    """Convert errors of stdout to `WildsegError`, except `BrokenPipeError`."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise WildsegError(
            f"The output cannot be printed: {(error.strerror or str(error)).lower()}."
        ) from error


def print_notice(line: str) -> None:
    """Print a notice on stderr."""
    if sys.stderr is None:  # closed; print would write to stdout instead
        return
    encoding = sys.stderr.encoding or "utf-8"
    text = f"wildseg: {line}".encode(encoding, "backslashreplace").decode(encoding)
    print(text, file=sys.stderr, flush=True)


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a text table: the first column left-aligned, the others right-aligned.

    Examples
    --------
    >>> print(format_table(["class", "IoU"], [["cat", "0.91"], ["cup of coffee", "0.8"]]))
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


def format_figures(columns: Mapping[str, Mapping[str, Any]]) -> str:
    """Format figures as a table: a column each, names within names joined, a list in one cell."""
    found = {title: dict(_cells(figures, ())) for title, figures in columns.items()}
    names = dict.fromkeys(name for cells in found.values() for name in cells)
    rows = [[name, *(cells.get(name, "-") for cells in found.values())] for name in names]
    return format_table(["figure", *found], rows)


def _cells(figures: Mapping[str, Any], lead: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for key, value in figures.items():
        if isinstance(value, Mapping):
            yield from _cells(value, (*lead, key))
        elif value is not None:
            values = value if isinstance(value, list) else [value]
            shown = [f"{one:.3f}" if isinstance(one, float) else str(one) for one in values]
            yield ", ".join((*lead, key)), "  ".join(shown)


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        return value.item()
    return str(value)
