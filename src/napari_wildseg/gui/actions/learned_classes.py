"""The class memory of a widget: records of finished images, learned in the background.

Records and learning are jobs of their own thread and engine process, so runs do not wait for them.
The window keeps the memory as bytes that only these processes read. A new memory replaces the old
one when learning is done; a run that starts meanwhile uses the old one.
"""

from __future__ import annotations

import weakref
import zlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.pictures.picture_files import spread_planes
from napari_wildseg.engine.progress import Progress
from napari_wildseg.gui import notices
from napari_wildseg.gui.export import label_image
from napari_wildseg.gui.jobs import engines
from napari_wildseg.gui.jobs.engine_jobs import EnginePool, EngineSlot, record_steps
from napari_wildseg.gui.jobs.worker_thread import Job, Worker, learning_worker, shared_worker
from napari_wildseg.process.remote import Memory

if TYPE_CHECKING:
    from napari_wildseg.engine.progress import Steps
    from napari_wildseg.gui.actions.controller import Controller
    from napari_wildseg.gui.annotation.session import ImageSession
    from napari_wildseg.gui.jobs.engine_jobs import Recorded, Request
    from napari_wildseg.gui.layers.display import Plane

_MEMORIES = count(1)


@dataclass(frozen=True)
class MemorySummary:
    """Summary of a memory, for the window."""

    images: int = 0  # how many
    # Name, images, and whether what was learned is used.
    classes: tuple[tuple[str, int, bool], ...] = ()
    alike: bool = False  # whether the annotator said that the images are alike


class WindowMemory:
    """The class memory of one widget."""

    changed = Signal()
    """The memory changed, or learning began or ended."""

    def __init__(self, controller: Controller) -> None:
        # Weak: a learning job must not keep the viewer of a closed widget alive.
        self._controller = weakref.ref(controller)
        self.enabled = True
        self.summary = MemorySummary()
        self._memory: Memory | None = None
        self._images = 0
        self._learned = MemorySummary()
        self._jobs: list[Job] = []
        self._planes: dict[int, dict[Plane, str]] = defaultdict(dict)
        self._keys: weakref.WeakKeyDictionary[ImageSession, int] = weakref.WeakKeyDictionary()
        self._numbers = count()
        self._remembered: weakref.WeakKeyDictionary[ImageSession, dict[Plane, tuple[int, bool]]] = (
            weakref.WeakKeyDictionary()
        )

    @property
    def controller(self) -> Controller:
        """The controller of the widget."""
        controller = self._controller()
        assert controller is not None
        return controller

    @property
    def closed(self) -> bool:
        """Whether the widget is gone."""
        controller = self._controller()
        return controller is None or controller.closed

    @property
    def current(self) -> Memory | None:
        """The memory that a run is to use; None if it is switched off or empty."""
        memory = self._memory
        return memory if self.enabled and self._images else None

    @property
    def learning(self) -> bool:
        """Whether something is being learned."""
        return bool(self._jobs)

    def close(self) -> None:
        """Cancel all learning jobs."""
        self.enabled = False
        for job in self._jobs:
            job.cancel()

    def switch(self, enabled: bool) -> None:
        """Enable or disable the memory."""
        self.enabled = enabled
        self.changed.emit()

    # ------------------------------------------------------------------ learning

    def finish(self, session: ImageSession | None, planes: tuple[Plane, ...] = ()) -> None:
        """Remember an image whose labels are right."""
        if session is None or not self.enabled:
            return
        wanted = planes or tuple(p for p, state in session.planes.items() if state.segmented)
        for plane in _sample_planes(wanted):
            self._remember_plane(session, plane, finished=True)

    def leave(self, session: ImageSession | None) -> None:
        """Remember what was corrected in an image that is left for another."""
        if session is None or session.image is None or not self.enabled:
            return
        painted = {p for tracked in session.tracked.values() for p in tracked.trackers}
        for plane in _sample_planes(tuple(p for p in painted if session.decided_pixels(p))):
            self._remember_plane(session, plane, finished=False)

    def _remember_plane(self, session: ImageSession, plane: Plane, *, finished: bool) -> None:
        image = session.image
        if image is None or not session.classes or image not in self.controller.viewer.layers:
            return
        request = self.controller.request(session, image, plane)
        if request.source.is_windowed:
            return
        shown = label_image(session, plane)
        corrections = shown.corrections
        sign = zlib.crc32(shown.labels.tobytes())
        if corrections is not None:
            sign = zlib.crc32(corrections.tobytes(), sign)
        taught = self._remembered.setdefault(session, {})
        before = taught.get(plane)
        finished = finished or (before is not None and before[1])
        if before == (sign, finished):
            return
        taught[plane] = (sign, finished)
        labels = shown.labels
        if not finished:
            if corrections is None:
                return
            labels = np.where(corrections < 0, 255, corrections).astype(np.uint8)
        key = self._keys.setdefault(session, next(self._numbers))
        name = image.name if len(plane.index) == 2 else f"{image.name}, {plane}"
        self._record(request, labels, name, finished, partial(self._add, key, plane))

    def _record(
        self,
        request: Request,
        labels: NDArray[np.uint8],
        name: str,
        finished: bool,
        add: Callable[[Recorded], Steps[None]],
    ) -> None:
        """Make a record with the encodings there are, or in the learning process; then learn it."""

        def ready(found: Recorded | None) -> None:
            if found is not None:
                self._learn(partial(add, found))
                return
            pool = EnginePool(engines.learning())
            aside = replace(request, pool=pool, slot=EngineSlot())

            def steps() -> Steps[None]:
                recorded = yield from record_steps(aside, labels, name, finished, encode=True)
                assert recorded is not None
                pool.clear()
                yield from add(recorded)

            self._learn(steps)

        # The state line reports a failed record; labels stay as they are.
        start = partial(record_steps, request, labels, name, finished, encode=False)
        self._submit(shared_worker(), Job(start, on_result=ready))

    def _add(self, key: int, plane: Plane, found: Recorded) -> Steps[None]:
        """Learn a record; on the thread that learns."""
        planes = {**self._planes[key], plane: found.digest}
        few = set(_sample_planes(tuple(planes)))
        kept = {each: digest for each, digest in planes.items() if each in few}
        gone = set(planes.values()) - set(kept.values())
        yield from self._change(record=found.record, forget=sorted(gone))
        self._planes[key] = kept

    def _change(self, **change: Any) -> Steps[None]:
        """Have the engine process change the memory and learn, then use what it returns."""
        memory = self._memory
        found = yield from engines.learning().call(
            "learn",
            memory=None if memory is None else memory.data,
            alike=self.summary.alike,
            **change,
        )
        self._memory = Memory(next(_MEMORIES), found["memory"])
        self._images = found["images"]
        classes = tuple((name, images, used) for name, images, used in found["classes"])
        self._learned = MemorySummary(found["images"], classes, found["alike"])

    # ------------------------------------------------------------------ requests

    def forget_image(self) -> None:
        """Forget the image in view."""
        if (view := self.controller.in_view()) is None:
            self.controller.show_next_step()
            return
        session, image, plane = view
        source = self.controller.request(session, image, plane).source
        self._remembered.get(session, {}).pop(plane, None)

        def steps() -> Steps[None]:
            yield Progress(0, 1, "Forgetting the image")
            yield from self._change(forget_image=source.read())

        self._learn(steps, f"{image.name} is forgotten.")

    def forget_class(self, name: str) -> None:
        """Forget a class in all images."""
        self._learn(partial(self._change, forget_name=name), f"{name} is forgotten.")

    def forget_all(self) -> None:
        """Forget everything."""

        def steps() -> Steps[None]:
            self._memory, self._images = None, 0
            self._learned = MemorySummary(alike=self.summary.alike)
            self._planes.clear()
            yield Progress(1, 1, "Forgetting")

        self._remembered.clear()
        self._learn(steps, "Everything that earlier images taught is forgotten.")

    def set_alike(self, alike: bool) -> None:
        """Set whether the images are alike: then one image is enough to learn from."""
        self.summary = replace(self.summary, alike=alike)

        def steps() -> Steps[None]:
            self._learned = replace(self._learned, alike=alike)
            if self._memory is not None:
                yield from self._change()

        self._learn(steps)

    def load(self, path: Path) -> None:
        """Add what a memory file holds."""
        self._learn(partial(self._change, path=str(path)), f"{path.name} is read.")

    def save(self, path: Path) -> None:
        """Write the memory to a file; the dialog asked before replacing one."""

        def steps() -> Steps[None]:
            if self._memory is None:
                raise InputError("There is nothing to save yet: finish an image first.")
            data = self._memory.data
            yield from engines.learning().call("save_memory", memory=data, path=str(path))

        self._learn(steps, f"{path.name} is written.")

    # ------------------------------------------------------------------ internal

    def _learn(self, start: Callable[[], Steps[None]], message: str = "") -> None:
        def steps() -> Steps[MemorySummary]:
            yield from start()
            return self._learned

        def done(known: MemorySummary) -> None:
            self.summary = known
            if message and not self.closed:
                self.controller.status.emit(message)

        self._submit(learning_worker(), Job(steps, on_result=done))

    def _submit(self, worker: Worker, job: Job) -> None:
        job.on_error, job.on_end = self._failed, partial(self._end, job)
        self._jobs.append(job)
        worker.submit(job)
        self.changed.emit()

    def _end(self, job: Job) -> None:
        self._jobs.remove(job)
        if not self.closed:
            self.changed.emit()

    def _failed(self, error: BaseException) -> None:
        if not self.closed:
            self.controller.notify(notices.sentence(error, "Learning"))


def _sample_planes(planes: tuple[Plane, ...]) -> list[Plane]:
    """Choose the planes of a stack that are remembered, since all of them are nearly one image."""
    ordered = sorted(planes, key=lambda plane: [i for i in plane.index if i is not None])
    return [ordered[i] for i in spread_planes(range(len(ordered)))]


def described(known: MemorySummary) -> str:
    """Return what was learned of each class, a line each."""
    lines = []
    for name, images, used in known.classes:
        text = "{name}: {n} [image|images]"
        if not used and images == 1 and not known.alike:
            text += ", used from the second on"
        elif not used:
            text += ", not used: [it|they] would not have helped"
        lines.append(notices.pluralise(images, text, name=name))
    return "\n".join(lines)
