"""A batch on this machine: lanes (threads), one per core, that each segment whole images.

Reading, encoding, refinement and writing of different images overlap. Results do not depend on the
number of lanes, because each lane computes with one thread.
"""

import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence

from napari_wildseg.batch.job import BatchJob, CancelledError, Control, ModelLoaded, start_segmenter
from napari_wildseg.batch.journal import Record
from napari_wildseg.batch.plan.units import Unit, run_unit
from napari_wildseg.batch.workers.allocator import keep_freed_memory
from napari_wildseg.engine.models.clip_model import CLIPModel

_POLL = 0.2
"""Seconds between checks for cancellation."""


def default_workers() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def run_local(
    job: BatchJob, todo: Sequence[Unit], *, workers: int, begin: Callable[[str], None]
) -> Iterator[Record | ModelLoaded | None]:
    """Segment units on this machine; yield records, or None at each check for cancellation."""
    import torch

    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        keep_freed_memory()
        first = start_segmenter(job)
        yield ModelLoaded(first.model.fingerprint)
        yield from _run_lanes(job, todo, first.model, workers=workers, begin=begin)
    finally:
        torch.set_num_threads(threads)


def _run_lanes(
    job: BatchJob,
    todo: Sequence[Unit],
    model: CLIPModel,
    *,
    workers: int,
    begin: Callable[[str], None],
) -> Iterator[Record | None]:
    import torch

    waiting: queue.SimpleQueue[Unit] = queue.SimpleQueue()
    for unit in todo:
        waiting.put(unit)
    finished: queue.SimpleQueue[Record | BaseException] = queue.SimpleQueue()
    stop = threading.Event()
    control = Control(stop, begin)

    def lane() -> None:
        torch.set_num_threads(1)  # per thread
        segmenter = start_segmenter(job, model)
        while not stop.is_set():
            try:
                unit = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                for record in run_unit(job, unit, segmenter, control):
                    finished.put(record)
            except CancelledError:
                return
            except BaseException as error:
                finished.put(error)
                return

    lanes = [
        threading.Thread(target=lane, name=f"wildseg lane {number}", daemon=True)
        for number in range(1, 1 + max(1, min(workers, len(todo))))
    ]
    for thread in lanes:
        thread.start()
    try:
        missing = sum(len(unit.items) for unit in todo)
        while missing:
            try:
                found = finished.get(timeout=_POLL)
            except queue.Empty:
                yield None
                continue
            if isinstance(found, BaseException):
                raise found
            missing -= 1
            yield found
    finally:
        stop.set()
        for thread in lanes:
            thread.join()
