"""One plane's segmenter in the engine process, as the window's jobs ask it."""

import itertools
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

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

    def call(self, method: str, **arguments: Any) -> Steps[Any]:
        """Have a method of `napari_wildseg.process.calls.Calls` carried out for this plane."""
        if not self.alive:
            raise EngineEndedError(ENDED)
        read = self._source.read if self._windowed and self._source is not None else None
        return (yield from self.engine.call(method, read, plane=self.number, **arguments))

    def send_memory(self, memory: Memory | None) -> int:
        """Have the process hold a class memory; return its number, 0 for none."""
        if memory is None:
            return 0
        self.engine.hold_memory(memory.number, memory.data)
        return memory.number

    def open_steps(self, model: str, threshold: float, options: dict[str, Any]) -> Steps[None]:
        """Load the model."""
        more = {"windowed": self._windowed, "threshold": threshold, "options": options}
        yield from self.call("open", model=model, **more)

    def set_image_steps(self, source: ReadablePlane) -> Steps[None]:
        """Encode the plane."""
        self._source = source
        image = None if self._windowed else source.read()
        yield from self.call("set_image", image=image, size=source.size, dtype=source.dtype)
        if not self._windowed:
            self._source = None  # nothing of it is read any more
