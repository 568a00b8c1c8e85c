"""`ClassMemory`: records of remembered images, and what is learned from them."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.memory.hindsight import Learned, learn
from napari_wildseg.engine.memory.records import ARRAYS, ImageRecord, Source, name_key


@dataclass(frozen=True)
class RememberedImage:
    """An image of a memory."""

    digest: str  # 64 hexadecimal digits, the key to `ClassMemory.forget`
    name: str  # what the annotator knows it by; may be empty
    finished: bool  # whether all its labels were right, or only some pixels corrected
    classes: tuple[str, ...]  # the names it was segmented into


@dataclass(frozen=True)
class RememberedClass:
    """A class of a memory."""

    name: str  # its name, as it was first written
    images: int  # how many images were segmented into it
    finished: int  # how many of them are finished


class ClassMemory:
    """What finished and corrected images teach about the classes of the next one.

    A memory belongs to one model, relevance method and set of views: those of the first image.
    The order in which images are added changes nothing. It may be used by several threads.

    Parameters
    ----------
    alike : bool
        The annotator's word that the images are alike. Then one finished image is enough to
        learn from; else the memory is used from the second on, where it would have helped.

    Examples
    --------
    >>> memory = ClassMemory()
    >>> len(memory), memory.images, memory.classes
    (0, (), ())
    >>> segmenter = Segmenter(memory=memory)  # doctest: +SKIP
    >>> segmenter.set_image(image)  # doctest: +SKIP
    >>> segmenter.segment("nucleus")  # doctest: +SKIP
    >>> segmenter.refine(corrections)  # doctest: +SKIP
    >>> segmenter.remember(finished=True)  # doctest: +SKIP
    """

    def __init__(self, *, alike: bool = False) -> None:
        self._alike = alike
        self._source: Source | None = None
        self._records: dict[str, ImageRecord] = {}
        self._learned: Learned | None = None
        self._lock = threading.RLock()

    @classmethod
    def of(
        cls, source: Source | None, records: Iterable[ImageRecord], *, alike: bool = False
    ) -> ClassMemory:
        """Make a memory of records.

        Parameters
        ----------
        source : Source or None
            What they were made with; None if there are none.
        records : iterable of ImageRecord
            In any order.
        alike : bool
            As for the class.
        """
        memory = cls(alike=alike)
        memory._source = source
        memory._records = {r.digest: r for r in sorted(records, key=lambda r: r.digest)}
        return memory

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (self._source, tuple(self._records.values()), self._alike)

    def __len__(self) -> int:
        return len(self._records)

    # ------------------------------------------------------------------ contents

    @property
    def alike(self) -> bool:
        """Whether the annotator says that the images are alike."""
        return self._alike

    @alike.setter
    def alike(self, value: bool) -> None:
        with self._lock:
            self._alike = bool(value)
            self._learned = None

    @property
    def source(self) -> Source | None:
        """Model, method and views that the memory belongs to; None while it is empty."""
        return self._source

    @property
    def records(self) -> tuple[ImageRecord, ...]:
        """The records, in the order of their digests."""
        return tuple(self._records.values())

    @property
    def images(self) -> tuple[RememberedImage, ...]:
        """The remembered images, in the order of their names, then digests."""
        found = (RememberedImage(r.digest, r.name, r.finished, r.classes) for r in self.records)
        return tuple(sorted(found, key=lambda image: (image.name, image.digest)))

    @property
    def classes(self) -> tuple[RememberedClass, ...]:
        """The remembered classes, in the order of their names."""
        names: dict[str, str] = {}
        for record in self.records:
            for name in record.classes:
                key = name_key(name)
                names[key] = min(name, names.get(key, name))
        return tuple(
            RememberedClass(name, len(asked), sum(record.finished for record in asked))
            for key, name in sorted(names.items())
            for asked in [self._asked(key)]
        )

    def count(self, name: str) -> int:
        """Return how many images were asked for a class."""
        return len(self._asked(name_key(name)))

    def used(self, name: str) -> bool:
        """Whether what was learned of a class is used; learns first where that is to be done."""
        judged = self.learned().hindsight.get(name_key(name))
        return judged is not None and bool(judged.alpha or judged.beta)

    @property
    def digest(self) -> str:
        """64 hexadecimal digits that change with anything that changes results."""
        digest = hashlib.sha256(repr((self._source, self._alike)).encode())
        for record in self.records:
            digest.update(repr((record.digest, record.finished, record.classes)).encode())
            for name in ARRAYS:
                digest.update(getattr(record, name).tobytes())
        return digest.hexdigest()

    def hindsight(self) -> dict[str, dict[str, tuple[float, float]]]:
        """Tell what the memory would have done to its own finished images.

        With fewer than two finished images, all images stand in, by the labels they were left with.

        Returns
        -------
        dict
            ``{image digest: {class name: (IoU without memory, IoU with memory)}}``, each image
            left out of what was learned for it. Low figures with memory where other images have
            high ones hint at a mistake in that image's labels. What has not been learned yet is
            learned first, which takes a while.
        """
        hindsight = self.learned().hindsight
        names = {name_key(known.name): known.name for known in self.classes}
        found: dict[str, dict[str, tuple[float, float]]] = {}
        for key, judged in hindsight.items():
            for digest, ious in judged.ious.items():
                found.setdefault(digest, {})[names[key]] = ious
        return found

    # ------------------------------------------------------------------ changes

    def add(self, record: ImageRecord, source: Source) -> None:
        """Add a record; one of the same image is replaced.

        Parameters
        ----------
        record : ImageRecord
            From `Segmenter.record`.
        source : Source
            What it was made with.

        Raises
        ------
        InputError
            If the memory belongs to another model, method or set of views.
        """
        with self._lock:
            self.check(source)
            self._source = source
            others = [r for r in self.records if r.digest != record.digest]
            records = sorted([*others, record], key=lambda r: r.digest)
            self._records = {r.digest: r for r in records}
            self._learned = None

    def with_record(self, record: ImageRecord, source: Source) -> ClassMemory:
        """Return a copy with a record added; this memory stays as it is."""
        memory = self.copy()
        memory.add(record, source)
        return memory

    def copy(self) -> ClassMemory:
        """Return a memory of the same records, which are shared."""
        with self._lock:
            memory = ClassMemory.of(self._source, self.records, alike=self._alike)
            memory._learned = self._learned
        return memory

    def forget(self, *, image: str | None = None, name: str | None = None) -> None:
        """Forget one image, or one class in all images.

        Parameters
        ----------
        image : str, optional
            The digest of an image, or its name where that is of one image.
        name : str, optional
            The name of a class.

        Raises
        ------
        InputError
            If neither or both are given, or the memory has no such image or class.
        """
        if (image is None) == (name is None):
            raise InputError("Say what to forget: an image or the name of a class.")
        with self._lock:
            if image is not None:
                digest = self._digest_of(image)
                kept = [r for r in self.records if r.digest != digest]
            else:
                assert name is not None
                if not self._asked(name_key(name)):
                    raise InputError(f'The memory has no class "{name}".')
                without = (r.without(name) for r in self.records)
                kept = [r for r in without if r.classes and len(r.weights)]
            self._records = {record.digest: record for record in kept}
            self._source = self._source if kept else None
            self._learned = None

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._records, self._learned, self._source = {}, None, None

    # ------------------------------------------------------------------ use

    def check(self, source: Source) -> None:
        """Raise `InputError` if the memory belongs to another source."""
        own = self._source
        if own is None:
            return
        for what, mine, other in zip(
            ("model", "model", "relevance method", "views"),
            astuple(own),
            astuple(source),
            strict=True,
        ):
            if mine != other and (what != "model" or own.fingerprint != source.fingerprint):
                mine, other = (own.model, source.model) if what == "model" else (mine, other)
                if mine == other:
                    raise InputError(
                        f"This memory was made with other weights of {mine}: remember the images "
                        "again with these."
                    )
                raise InputError(
                    f"This memory was made with the {what} {mine}, not {other}: choose that, or "
                    "remember the images again."
                )

    def learned(self) -> Learned:
        """Return what was learned; that is done when it is first asked for, and then kept."""
        with self._lock:
            if self._learned is None:
                self._learned = learn(self.records, alike=self._alike)
            return self._learned

    def prepare(self) -> None:
        """Learn now, so that the next image does not wait for it."""
        self.learned()

    # ------------------------------------------------------------------ files

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the memory to a file, whole or not at all; ``.wildmemory`` is the usual ending.

        The file is a zip of NumPy arrays and JSON. It holds features and colours of patches of
        the images and the shares of their labels. No image can be rebuilt from it.

        Parameters
        ----------
        path : str or Path
            Where.
        overwrite : bool
            Whether an existing file may be replaced.

        Raises
        ------
        InputError
            If the file is there already.
        WildsegError
            If it cannot be written.
        """
        from napari_wildseg.io.memory_file import save_memory

        return save_memory(path, self, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | Path) -> ClassMemory:
        """Read a memory from a file; nothing in it is trusted, and no code of it is run.

        Raises
        ------
        InputError
            If it is damaged, too large, of a later version, or no memory.
        """
        from napari_wildseg.io.memory_file import load_memory

        return load_memory(path)

    # ------------------------------------------------------------------ internal

    def _asked(self, key: str) -> list[ImageRecord]:
        return [r for r in self.records if key in map(name_key, r.classes)]

    def _digest_of(self, image: str) -> str:
        if image in self._records:
            return image
        found = [r.digest for r in self.records if r.name == image]
        if len(found) != 1:
            how = "no image" if not found else f"{len(found)} images"
            raise InputError(f'The memory has {how} "{image}"; see ClassMemory.images.')
        return found[0]


def _restored(source: Source | None, records: tuple[ImageRecord, ...], alike: bool) -> ClassMemory:
    return ClassMemory.of(source, records, alike=alike)
