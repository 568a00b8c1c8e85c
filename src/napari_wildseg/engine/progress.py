"""Cancellable jobs: generators that yield `Progress`; closing one cancels its job."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Progress:
    """Progress of a job.

    Attributes
    ----------
    done, total : int
        Finished and planned steps.
    stage : str
        The current step, in words for the annotator.
    """

    done: int
    total: int
    stage: str


Steps = Generator[Progress, None, T]
"""A job that yields `Progress` and returns a `T`; ``close()`` stops it at the next step."""


def map_progress(steps: Steps[T], restate: Callable[[Progress], Progress]) -> Steps[T]:
    """Go through a job with other progress; what it returns stays."""
    try:
        while True:
            try:
                progress = next(steps)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            yield restate(progress)
    finally:
        steps.close()


def drain(steps: Steps[T], on_progress: Callable[[Progress], None] | None = None) -> T:
    """Run a job to its end and return its result.

    Parameters
    ----------
    steps : generator of Progress
        The job to run.
    on_progress : callable, optional
        Called with each `Progress`.
    """
    while True:
        try:
            progress = next(steps)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        if on_progress is not None:
            on_progress(progress)
