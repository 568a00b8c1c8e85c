"""One plane's segmenter in the engine process, as the window's jobs ask it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.progress import Steps
from napari_wildseg.process.client import ENDED, Engine, EngineEndedError

_NUMBERS = itertools.count(1)


class ReadablePlane(Protocol):
    """A plane of the window that can be read whole or box by box."""

    @property
    def size(self) -> tuple[int, int]:
        """``(H, W)``."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""

    @property
    def is_windowed(self) -> bool:
        """Whether it is read box by box."""

    def read(self, part: tuple[slice, slice] | None = None) -> NDArray[Any]:
        """Return ``(H, W, 3)``, of all or of some rows and columns."""


@dataclass(frozen=True)
class Memory:
    """A class memory, which only the engine process reads; each change gets a new number."""

    number: int
    data: bytes


@dataclass(frozen=True)
class Found:
    """What a run found: a `Result` without relevance maps, which stay in the process."""

    labels: NDArray[np.uint8]
    pseudo_labels: NDArray[np.uint8]
    notices: Sequence[str]
    seconds: dict[str, float]
    settings: dict[str, Any]
    model: str


@dataclass(frozen=True)
class Suggested:
    """Names that a plane may show, and where."""

    names: list[tuple[str, float]]
    maps: dict[str, NDArray[np.float32]]
    """By name: ``(h, w)`` in [0, 1] on a coarse grid that tiles the plane."""


class RemoteSegmenter:
    """A segmenter in the engine process; its methods are generators of `Progress`."""

    def __init__(self, engine: Engine, *, windowed: bool) -> None:
        engine.start()
        self.engine, self.number = engine, next(_NUMBERS)
        self._windowed = windowed
        self._generation = engine.generation
        self._source: ReadablePlane | None = None

    @property
    def alive(self) -> bool:
        """Whether the process that holds it runs."""
        return self.engine.alive and self.engine.generation == self._generation

    def _call(self, method: str, **arguments: Any) -> Steps[Any]:
        if not self.alive:
            raise EngineEndedError(ENDED)
        read = self._source.read if self._windowed and self._source is not None else None
        return (yield from self.engine.call(method, read, plane=self.number, **arguments))

    def _held(self, memory: Memory | None) -> int:
        """Have the process hold a class memory; return its number, 0 for none."""
        if memory is None:
            return 0
        self.engine.hold_memory(memory.number, memory.data)
        return memory.number

    def open_steps(self, model: str, threshold: float, options: dict[str, Any]) -> Steps[None]:
        """Load the model."""
        yield from self._call(
            "open", model=model, windowed=self._windowed, threshold=threshold, options=options
        )

    def set_image_steps(self, source: ReadablePlane) -> Steps[None]:
        """Encode the plane."""
        self._source = source
        image = None if self._windowed else source.read()
        dtype = np.dtype(source.dtype).str
        yield from self._call("set_image", image=image, size=source.size, dtype=dtype)
        if not self._windowed:
            self._source = None  # nothing of it is read any more

    def segment_steps(
        self,
        classes: Sequence[ClassInfo],
        *,
        threshold: float,
        refine: bool,
        memory: Memory | None = None,
    ) -> Steps[Found]:
        """As `napari_wildseg.Segmenter.segment_steps`."""
        found = yield from self._call(
            "segment",
            classes=_rows(classes),
            threshold=threshold,
            refine=refine,
            memory=self._held(memory),
        )
        return Found(**found)

    def refine_steps(
        self,
        corrections: NDArray[np.int16] | None,
        *,
        threshold: float,
        pseudo_labels: NDArray[np.uint8] | None = None,
    ) -> Steps[Found]:
        """As `napari_wildseg.Segmenter.refine_steps`."""
        found = yield from self._call(
            "refine", threshold=threshold, corrections=corrections, pseudo_labels=pseudo_labels
        )
        return Found(**found)

    def carry_steps(
        self,
        known: Sequence[tuple[RemoteSegmenter, NDArray[np.uint8]]],
        classes: Sequence[ClassInfo],
        corrections: NDArray[np.int16] | None,
    ) -> Steps[Found]:
        """Label the plane by other planes of the process and their labels."""
        found = yield from self._call(
            "carry",
            known=[[other.number, labels] for other, labels in known],
            classes=_rows(classes),
            corrections=corrections,
        )
        return Found(**found)

    def pseudo_labels_steps(self, threshold: float) -> Steps[NDArray[np.uint8]]:
        """Return the pseudo-labels at a threshold, ``(H, W)``."""
        labels: NDArray[np.uint8] = yield from self._call("pseudo_labels", threshold=threshold)
        return labels

    def relevance_steps(self, place: int) -> Steps[NDArray[np.float32]]:
        """Return the relevance map of a class, by its place in the list."""
        relevance: NDArray[np.float32] = yield from self._call("relevance", place=place)
        return relevance

    def suggest_steps(
        self, vocabulary: str, top: int, memory: Memory | None = None
    ) -> Steps[Suggested]:
        """Name what the plane may show, and where."""
        found = yield from self._call(
            "suggest", vocabulary=vocabulary, top=top, memory=self._held(memory)
        )
        names = [(name, score) for name, score in found["names"]]
        maps = {name: one for (name, _), one in zip(names, found["maps"], strict=True)}
        return Suggested(names, maps)

    def record_steps(
        self, labels: NDArray[np.uint8], *, finished: bool, name: str
    ) -> Steps[dict[str, Any]]:
        """Return a record for a class memory, and the digest of the image."""
        found: dict[str, Any] = yield from self._call(
            "record", labels=labels, finished=finished, name=name
        )
        return found


def _rows(classes: Sequence[ClassInfo]) -> list[list[Any]]:
    return [[info.id, info.name, info.prompts, info.colour] for info in classes]
