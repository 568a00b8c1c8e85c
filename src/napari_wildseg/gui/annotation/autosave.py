"""Saves the corrections of open images to disk, and finds those of earlier sessions."""

import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from queue import SimpleQueue

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray
from psygnal import Signal

from napari_wildseg.engine.instances import UNTOUCHED
from napari_wildseg.gui.annotation.decisions import PlaneSnapshots, merge, to_corrections
from napari_wildseg.gui.annotation.image_identity import image_key, is_quick, old_key, source_of
from napari_wildseg.gui.annotation.session import LABELS, PSEUDO, ImageSession
from napari_wildseg.gui.annotation.tracked_layer import TrackedLayer, changed_planes
from napari_wildseg.gui.layers.display import Plane, level_shape
from napari_wildseg.gui.recovery import Claim, Find, shared_store
from napari_wildseg.gui.recovery_record import Saved

_log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0
"""Seconds until a failed write is tried again."""


class Autosave:
    """Writes what was painted since the last time. Used on the GUI thread."""

    began = Signal()
    """Work is pending: call `step` regularly until it returns False."""
    found = Signal(object)
    """Records of an image were found some time after it was opened; its session."""

    def __init__(self, *, enabled: bool = True) -> None:
        self.store = shared_store() if enabled else None
        self._unsaved: set[tuple[ImageSession, Plane]] = set()
        self._searches: list[Callable[[], object]] = []
        self._arrived: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._tried = 0.0
        if self.store is not None:
            self.store.tidy()

    @property
    def trouble(self) -> str:
        """Why corrections cannot be kept now, as a sentence; empty if they are kept."""
        return "" if self.store is None else self.store.trouble

    # ------------------------------------------------------------------ images

    def open(self, session: ImageSession, image: Image) -> None:
        """Claim the records of an image, and look for those that were left over.

        The pixels of large and lazy images are sampled on a thread of its own; what is found
        then is sent as `found`.
        """
        if self.store is None:
            session.claim = None
            return
        quick, key = is_quick(image), old_key(image)
        if session.claim is not None and session.claim.store is self.store:
            # Reopened: its records are written again.
            for tracked in session.tracked.values():
                self._unsaved.update((session, plane) for plane in tracked.trackers)
            self._unsaved.update((session, plane) for plane in session.objects.planes)
            self._add_left_over(session, image, {session.claim.key, key})
            return
        session.claim = Claim(self.store, image_key(image) if quick else key, source_of(image))
        self._add_left_over(session, image, {session.claim.key, key})
        if not quick:
            sample = partial(self._sample, weakref.ref(session), weakref.ref(image))
            thread = threading.Thread(target=sample, name="wildseg-sample", daemon=True)
            self._threads.append(thread)
            thread.start()
            self.began.emit()

    def close(self, session: ImageSession) -> None:
        """Write the pending corrections of an image and release its records."""
        for tracked in session.tracked.values():
            followed = set(tracked.trackers)
            self._unsaved.update((session, p) for p in tracked.touched() if p not in followed)
        self.write()
        if session.claim is not None:
            session.claim.release()

    def set_aside(self, session: ImageSession) -> None:
        """Keep the present records; later corrections get new ones."""
        self.write()
        if session.claim is not None:
            session.claim.renew(keep_objects=False)

    def discard(self, session: ImageSession) -> None:
        """Remove what was left over for an image."""
        if self.store is not None:
            self.store.discard(session.left_over)
        session.left_over = []

    def restored(self, session: ImageSession) -> None:
        """Write what was restored; records that were left over go once that is done."""
        left, session.left_over = session.left_over, []
        for plane in dict.fromkeys(saved.plane for saved in left):
            self._unsaved.discard((session, plane))
            self._save(session, plane, [saved for saved in left if saved.plane == plane])
        self.began.emit()

    # ------------------------------------------------------------------ corrections

    def note(self, session: ImageSession, plane: Plane) -> None:
        """Mark corrections as changed."""
        self._unsaved.add((session, plane))

    def write(self) -> None:
        """Write what was noted, in the background."""
        self._handle_arrived()
        to_look, self._searches = self._searches, []
        for look in to_look:
            look()
        unsaved, self._unsaved = self._unsaved, set()
        if self.store is None:
            return
        for session, plane in unsaved:
            self._save(session, plane)
        if unsaved:
            self.began.emit()

    def find_painted_planes(
        self, session: ImageSession, tracked: TrackedLayer, plane: Plane
    ) -> None:
        """Find planes that were painted and are not followed, in the background."""
        layer = tracked.layer
        if self.store is None or layer is None:
            return
        # napari reports a stroke before the pixels change: they are read from the next turn on.
        self._searches.append(
            partial(self._search_planes, weakref.ref(session), weakref.ref(tracked), plane)
        )
        self.began.emit()

    def exported(
        self, session: ImageSession, plane: Plane, find: Find, *, objects: bool = False
    ) -> None:
        """Note that corrections of labels or objects were exported.

        Their record is removed, unless the annotator has painted since.
        """
        if session.claim is not None:
            session.claim.exported(plane, find, objects=objects)
            self.note(session, plane)

    def deleted(self, session: ImageSession, kind: str) -> bool:
        """Keep the decisions of a label layer that is being deleted, to offer them again.

        Its records stay; later decisions get new ones.
        """
        claim, tracked = session.claim, session.tracked[kind]
        planes = tracked.touched()
        for plane in planes:
            self._unsaved.discard((session, plane))
            self._save(session, plane)
        kept = [
            Saved(
                plane,
                corrections,
                session.classes,
                time.time(),
                None if claim is None else claim.path(plane),
                kind == PSEUDO,
            )
            for plane in planes
            if (corrections := to_corrections(merge(tracked.decided(plane)))) is not None
        ]
        session.left_over = [*session.left_over, *kept]
        del session.tracked[kind]
        if claim is not None:
            claim.renew()
            for other in session.tracked.values():
                for plane in other.touched():
                    self.note(session, plane)
        return bool(kept)

    def step(self) -> bool:
        """Continue the pending work; return whether some is left."""
        store = self.store
        if store is None:
            return False
        if self._searches or not self._arrived.empty():
            self.write()
        if store.trouble and store.idle and time.monotonic() - self._tried > RETRY_SECONDS:
            self._tried = time.monotonic()
            store.retry()
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        return bool(store.trouble or self._threads or not store.idle or not self._arrived.empty())

    # ------------------------------------------------------------------ internal

    def _add_left_over(self, session: ImageSession, image: Image, keys: Iterable[str]) -> None:
        """Add records that were left over for an image to what is offered."""
        if self.store is None:
            return
        known = {saved.path for saved in session.left_over}
        for saved in self.store.find(keys, level_shape(image), source=source_of(image)):
            ours = session.claim is not None and session.claim.owns(saved.path)
            if not (saved.in_use or ours or saved.path in known):
                session.left_over = [*session.left_over, saved]

    def _save(self, session: ImageSession, plane: Plane, instead_of: Sequence[Saved] = ()) -> None:
        if session.claim is None:
            return
        labels = [saved.path for saved in instead_of if saved.path and not saved.objects]
        objects = [saved.path for saved in instead_of if saved.path and saved.objects]
        snapshots = session.snapshots(plane, decided=True)
        session.claim.save(
            plane,
            partial(_corrections, snapshots),
            session.classes,
            pseudo=LABELS not in snapshots.layers,
            instead_of=labels,
        )
        if plane in session.objects.planes:
            strokes = session.objects.planes[plane].tracker.kept
            find = partial(_strokes, strokes)
            session.claim.save(plane, find, session.classes, objects=True, instead_of=objects)

    def _handle_arrived(self) -> None:
        while not self._arrived.empty():
            self._arrived.get()()

    def _sample(self, session: weakref.ref[ImageSession], image: weakref.ref[Image]) -> None:
        """Compute the key of an image on a thread, since reading may take long."""
        there = image()
        if there is None:
            return
        try:
            key = image_key(there)
        except Exception:  # whatever a lazy array raises; its first key stays
            _log.info("%s could not be sampled", there.name, exc_info=True)
            return
        self._arrived.put(partial(self._on_key_known, session, image, key))

    def _on_key_known(
        self, session: weakref.ref[ImageSession], image: weakref.ref[Image], key: str
    ) -> None:
        here, there = session(), image()
        if here is None or there is None or here.claim is None:
            return
        here.claim.rename(key)
        before = len(here.left_over)
        self._add_left_over(here, there, {key})
        if len(here.left_over) > before:
            self.found.emit(here)

    def _search_planes(
        self, session: weakref.ref[ImageSession], tracked: weakref.ref[TrackedLayer], plane: Plane
    ) -> None:
        there = tracked()
        if self.store is None or there is None or there.layer is None:
            return
        data, followed = there.layer.data, set(there.trackers)
        look = partial(changed_planes, data, there.blank, plane, followed)
        follow = partial(self._follow, session, tracked)
        self.store.later(lambda: self._arrived.put(partial(follow, look())))

    def _follow(
        self,
        session: weakref.ref[ImageSession],
        tracked: weakref.ref[TrackedLayer],
        planes: Iterable[Plane],
    ) -> None:
        here, there = session(), tracked()
        if here is None or there is None or there.layer is None:
            return
        for plane in planes:
            there.tracker(plane)
            self.note(here, plane)


def _strokes(kept: NDArray[np.int32]) -> NDArray[np.int32] | None:
    """Return strokes of objects, None if there are none; on the writing thread."""
    return None if (kept == UNTOUCHED).all() else kept


def _corrections(snapshots: PlaneSnapshots) -> NDArray[np.int16] | None:
    """Look through a plane; on the writing thread."""
    return to_corrections(snapshots.decided())
