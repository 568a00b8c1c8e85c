"""The plot of ``wildseg evaluate --compare ... --plot``."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.folders import folder_error

if TYPE_CHECKING:
    from napari_wildseg.evaluation import RefinerFigures

_ENDINGS = (".png", ".svg", ".pdf")
"""Allowed endings of the plot."""


def check_plot(path: Path) -> None:
    """Raise `InputError` if the plot cannot be written, before anything is measured."""
    if path.suffix.lower() not in _ENDINGS:
        raise InputError(
            f"{path.name} is no plot's name: end it with one of {', '.join(_ENDINGS)}."
        )
    if not path.absolute().parent.is_dir():
        raise InputError(
            f"{folder_error(path.absolute().parent)}: choose another place for the plot."
        )
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise InputError("--plot needs Matplotlib: pip install matplotlib.") from None


def draw_comparison(figures: Sequence[RefinerFigures], title: str, ending: str) -> bytes:
    """Draw refiners side by side: mean IoU by dabs, and by seconds of the first run."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    figure = Figure(figsize=(8, 3.6), layout="constrained")
    by_dabs, by_seconds = figure.subplots(1, 2)
    for one in figures:
        by_dabs.plot(range(len(one.clicks)), one.clicks, marker="o", ms=3, label=one.refiner)
        by_seconds.plot([one.seconds], [one.clicks[0]], marker="o", ls="", label=one.refiner)
    by_dabs.axhline(0.85, color="grey", lw=0.8, ls=":")
    by_dabs.set(xlabel="dabs", ylabel="mean IoU", ylim=(0, 1))
    by_dabs.legend(frameon=False)
    by_seconds.set(xlabel="seconds, first run", ylabel="mean IoU without dabs", ylim=(0, 1))
    by_seconds.set_xscale("log")
    # Ticks at 1, 2 and 5: Matplotlib's own labels overlap over less than a decade.
    by_seconds.margins(x=0.2)
    by_seconds.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    by_seconds.xaxis.set_major_formatter("{x:g}")
    by_seconds.xaxis.set_minor_formatter(NullFormatter())
    for axes in (by_dabs, by_seconds):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
    figure.suptitle(title)
    written = io.BytesIO()
    kind = ending.lower().lstrip(".")
    stamp = {"png": "Software", "svg": "Date", "pdf": "CreationDate"}[kind]
    with matplotlib.rc_context({"svg.hashsalt": title}):  # reproducible ids
        figure.savefig(written, format=kind, dpi=120, metadata={stamp: None})
    return written.getvalue()
