"""Guards against two threads using one `Segmenter` at the same time."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar, cast

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.progress import Steps

F = TypeVar("F", bound=Callable[..., Any])


class ThreadTracker:
    """Tracks the thread that uses a segmenter and the thread that set its image."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[object, int | None] = {}
        self._image: object = None
        self._given = threading.local()

    @contextmanager
    def job(self) -> Iterator[None]:
        """Context of one job; raise `InputError` if another thread runs a job."""
        me, key = threading.get_ident(), object()
        with self._lock:
            alive = {thread.ident for thread in threading.enumerate()}
            if any(other != me and other in alive for other in self._jobs.values()):
                raise InputError(
                    "Another thread is using this Segmenter: make one for each thread (they can "
                    "share a model), or wait until the other is done."
                )
            self._jobs[key] = me
        try:
            yield
        finally:
            with self._lock:
                del self._jobs[key]

    def image_is_set(self) -> None:
        """Note that the current thread set the image."""
        self._image = self._given.image = object()

    def check_image(self) -> None:
        """Raise `InputError` if another thread replaced the image that this thread set."""
        if getattr(self._given, "image", self._image) is not self._image:
            raise InputError(
                "Another thread has given this Segmenter another image since: make one for each "
                "thread (they can share a model), or call set_image again, which encodes nothing "
                "twice."
            )


def one_thread(method: F) -> F:
    """Decorate a generator method so that two threads cannot run such methods at once."""

    @wraps(method)
    def steps(self: Any, *args: Any, **kwargs: Any) -> Steps[Any]:
        with self._turns.job():
            return (yield from method(self, *args, **kwargs))

    return cast(F, steps)
