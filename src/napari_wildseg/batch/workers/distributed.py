"""A batch on the workers of a Dask scheduler: processes on this machine, or other machines.

Workers read the images and write the results, so they need access to the same folders. This
process distributes the images and keeps the journal. What is lost with a worker or with the
connection to the scheduler is handed out again; workers may join at any time.
"""

from __future__ import annotations

import logging
import queue
import secrets
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn, cast

from napari_wildseg.batch.job import BatchJob, Control, ModelLoaded, start_segmenter
from napari_wildseg.batch.journal import Record
from napari_wildseg.batch.origin import Origin, this_program
from napari_wildseg.batch.plan.units import Unit, run_unit
from napari_wildseg.batch.workers.allocator import keep_freed_memory
from napari_wildseg.batch.workers.local import default_workers
from napari_wildseg.engine.errors import InputError, WildsegError
from napari_wildseg.engine.pictures.picture_files import reason

if TYPE_CHECKING:
    from napari_wildseg.engine.segmenter import Segmenter

_LOCAL = "local"
"""Address for processes on this machine, which end with the batch."""

_RETRIES = 2
"""Number of retries of an image after an error of the worker."""

_CONNECT = 20
"""Seconds to wait for a scheduler."""

_CLOSE = 30
"""Seconds to wait until connections are closed and processes have ended; usually less than one."""

_POLL = 0.2
"""Seconds between checks for cancellation."""

_AHEAD = 4
"""Units submitted per thread of the workers."""


def run_distributed(
    job: BatchJob,
    todo: Sequence[Unit],
    address: str,
    *,
    begin: Callable[[str], None],
) -> Iterator[Record | ModelLoaded | str | None]:
    """Segment units on the workers of a scheduler; yield records and messages."""
    distributed = _import()
    cluster = _local_cluster(distributed, address)
    try:
        try:
            client = _connect(distributed, cluster or address)
        except (OSError, TimeoutError) as error:
            raise WildsegError(
                f"There is no Dask scheduler at {address} ({reason(error)}): start one with "
                '"dask scheduler", and workers with "dask worker ADDRESS".'
            ) from error
        except (ValueError, TypeError) as error:
            raise InputError(
                f'"{address}" is no address of a scheduler: give one such as tcp://host:8786.'
            ) from error
        try:
            yield from _submit_jobs(client, address, job, todo, begin)
        except Exception as error:
            if client.status in ("running", "connecting"):
                raise
            raise WildsegError(
                f"The scheduler at {address} is gone: start it again and go on with --resume."
            ) from error
        finally:
            _disconnect(client)
    finally:
        if cluster is not None:
            with suppress(TimeoutError):
                cluster.close(timeout=_CLOSE)


def _submit_jobs(
    client: Any,
    address: str,
    job: BatchJob,
    todo: Sequence[Unit],
    begin: Callable[[str], None],
) -> Iterator[Record | ModelLoaded | str | None]:
    origin = yield from _prepare(client, address, job)
    yield ModelLoaded(origin.weights)
    waiting = list(reversed(todo))
    out: dict[Any, Unit] = {}
    finished: queue.SimpleQueue[Any] = queue.SimpleQueue()
    try:
        while waiting or out:
            there = _threads(client)
            if not there:
                yield _missing(there, address)
            ahead = 0 if there is None else _AHEAD * max(1, sum(there.values()))
            while waiting and len(out) < ahead:
                unit = waiting.pop()
                refused = []
                for item in unit.items:
                    try:
                        begin(item.name)
                    except InputError as error:
                        refused.append(Record(item.name, item.path, failure=str(error)))
                yield from refused
                names = {record.name for record in refused}
                unit = replace(unit, items=tuple(i for i in unit.items if i.name not in names))
                if not unit.items:
                    continue
                future = client.submit(
                    run_on_worker,
                    job.only(*(item.name for item in (*unit.items, *unit.stack))),
                    unit,
                    origin,
                    pure=False,
                    retries=_RETRIES,
                    key=f"wildseg-{secrets.token_hex(4)}-{unit.items[0].name}",
                )
                out[future] = unit
                future.add_done_callback(finished.put)
            try:
                future = finished.get(timeout=_POLL)
            except queue.Empty:
                yield None
                continue
            unit = out.pop(future)
            records = _records(future, unit)
            if records is None:
                waiting.append(unit)
            else:
                yield from records
    finally:
        client.cancel(list(out))


def _prepare(client: Any, address: str, job: BatchJob) -> Generator[str, None, Origin]:
    """Load the model on all present workers; yield messages and return their common origin.

    Workers that join later load it with their first image.
    """
    loading: dict[str, Any] = {}
    origin: Origin | None = None
    try:
        while loading or origin is None:
            there = _threads(client)
            if not loading and there:  # the first round, or all of them are lost
                loading = {
                    worker: client.submit(
                        prepare_worker,
                        job.only(""),
                        workers=[worker],
                        pure=False,
                        key=f"wildseg-model-{secrets.token_hex(4)}",
                    )
                    for worker in there
                }
            if loading and there:
                some = "1 worker" if len(loading) == 1 else f"{len(loading)} workers"
                yield f"Loading the model on {some}"
            else:
                yield _missing(there, address)
            time.sleep(_POLL)
            for worker, future in list(loading.items()):
                found = _outcome(future)
                if isinstance(found, Origin):
                    origin = origin or found
                    _check_same_origin(found, origin)
                if future.status != "pending" or worker not in (there or ()):
                    del loading[worker]
    finally:
        client.cancel(list(loading.values()))
    return origin


def _threads(client: Any) -> dict[str, int] | None:
    """Return the threads of each worker, None while the scheduler does not answer."""
    if client.status == "connecting":  # for `_CONNECT` seconds; then the client closes
        return None
    try:
        threads: dict[str, int] = client.nthreads()
    except OSError:
        return None
    return threads


def _missing(there: dict[str, int] | None, address: str) -> str:
    what = "the scheduler at" if there is None else "a worker to join"
    return f"Waiting for {what} {address}"


def _records(future: Any, unit: Unit) -> list[Record] | None:
    """Return the records of a unit, None if they are lost; raise errors that end the batch."""
    records = _outcome(future)
    if isinstance(records, Exception):
        failure = (
            "every worker that tried it died, probably for lack of memory: "
            "make the image smaller, or give the workers more."
        )
        return [Record(item.name, item.path, failure=failure) for item in unit.items]
    return cast("list[Record] | None", records)


def _outcome(future: Any) -> Any:
    """Return the result of a future, None if there is none, and `KilledWorker` if that ended it.

    A result that is not fetched yet is lost with its worker. All futures are cancelled when the
    connection breaks or somebody restarts the scheduler. Neither is an error of the batch.
    """
    try:
        if future.status == "finished":
            return future.result(timeout=_CONNECT)
        error = future.exception(timeout=_CONNECT) if future.status == "error" else None
    except (OSError, CancelledError):  # lost since its status was read
        return None
    if error is not None and type(error).__name__ != "KilledWorker":
        _raise(error)
    return error


def _raise(error: Any) -> NoReturn:
    """Raise an error of a worker as a `WildsegError`."""
    if isinstance(error, WildsegError):
        raise error
    if isinstance(error, ImportError):
        raise WildsegError(
            f"The workers lack a package ({reason(error)}): install the same napari-wildseg there."
        ) from error
    raise WildsegError(
        f"A worker failed ({type(error).__name__}: {reason(error)}); go on with --resume."
    ) from error


def _check_same_origin(found: Origin, other: Origin) -> None:
    """Raise `WildsegError` if two workers have different program versions or weights."""
    if found != other:
        what = (
            f"napari-wildseg {found.program} and {other.program}"
            if found.program != other.program
            else "other weights under the same model name"
        )
        raise WildsegError(
            f"The workers are of two kinds ({what}): install the same on all of them, and go on "
            "with --resume."
        )


_lock = threading.Lock()
_loaded: dict[str, Any] = {}
_of_thread = threading.local()


def prepare_worker(job: BatchJob) -> Origin:
    """Load the model in a worker; return its program version and weights."""
    return Origin(this_program(), _segmenter(job).model.fingerprint)


def run_on_worker(job: BatchJob, unit: Unit, origin: Origin) -> list[Record]:
    """Segment a unit in a worker; the model is loaded if it is not yet."""
    _check_same_origin(prepare_worker(job), origin)
    return list(run_unit(job, unit, _segmenter(job), Control()))


def _segmenter(job: BatchJob) -> Segmenter:
    """Return the segmenter of this thread; the process holds one model for all threads."""
    import torch

    torch.set_num_threads(1)  # per thread: the other threads of the worker use the other cores
    key = repr((job.settings, job.plan.classes, job.memory))
    with _lock:
        if _loaded.get("key") != key:
            keep_freed_memory()
            _loaded.clear()
            _loaded.update(key=key, model=start_segmenter(job).model)
        model = _loaded["model"]
    if getattr(_of_thread, "key", None) != key:
        _of_thread.key, _of_thread.segmenter = key, start_segmenter(job, model)
    segmenter: Segmenter = _of_thread.segmenter
    return segmenter


def _import() -> Any:
    try:
        import distributed
    except ImportError:
        raise InputError(
            "--scheduler needs dask.distributed, which is not installed: "
            'pip install "napari-wildseg[distributed]".'
        ) from None
    # The log is for debugging schedulers; the batch reports errors itself.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    return distributed


def _connect(distributed: Any, where: Any) -> Any:
    """Connect to a scheduler with a client whose finalizer does nothing.

    The finalizer of a client that could not connect takes the lock that every client holds while
    it starts and stops. If the garbage collector runs meanwhile, both wait forever, or the event
    loop of the new client is not started in time and an assertion fails.
    """

    class Client(distributed.Client):  # type: ignore[misc]
        def __init__(self) -> None:
            try:
                super().__init__(where, timeout=_CONNECT, set_as_default=False)
            except BaseException:
                if hasattr(self, "_loop_runner"):
                    self._loop_runner.stop()
                raise

        def __del__(self) -> None:
            """Do nothing: `run_distributed` closes the client."""

    return Client()


def _disconnect(client: Any) -> None:
    """Close a client; a timeout is not an error of the batch."""
    try:
        client.close(timeout=_CLOSE)
    except TimeoutError:
        client._loop_runner.stop()


def _local_cluster(distributed: Any, address: str) -> Any:
    """Start processes on this machine for ``local`` or ``local:N``; None for another address."""
    kind, _, count = address.partition(":")
    if kind != _LOCAL:
        return None
    if count and not (count.isascii() and count.isdigit() and int(count) > 0):
        raise InputError(f'"{address}" is no number of processes: write {_LOCAL}:4 for four.')
    import dask

    # Dask's dashboard is not used for these processes, so their profiler is disabled.
    with dask.config.set({"distributed.worker.profile.enabled": False}):
        return distributed.LocalCluster(
            n_workers=int(count) if count else default_workers(),
            threads_per_worker=1,
            processes=True,
            memory_limit=0,
            dashboard_address=":0",
            silence_logs=logging.CRITICAL,
        )
