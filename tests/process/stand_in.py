"""An engine process with calls that are quick to start: the pipes are real, the engine is not."""

from __future__ import annotations

import os
import time

import numpy as np

from napari_wildseg.engine.errors import InputError, NotDownloadedError
from napari_wildseg.engine.progress import Progress
from napari_wildseg.process.__main__ import serve


class Calls:
    def count(self, read, *, steps, seconds=0.0):
        for number in range(steps):
            yield Progress(number, steps, f"Step {number}")
            time.sleep(seconds)
        return steps

    def warm(self, read, *, model):
        return (yield from self.count(read, steps=10_000, seconds=0.01))

    def echo(self, read, **values):
        yield Progress(0, 1, "")
        print("a library prints")
        return values

    def corner(self, read, *, box):
        yield Progress(0, 1, "")
        return read(box).sum()

    def fail(self, read, *, kind):
        yield Progress(0, 1, "")
        errors = {
            "input": InputError("no image"),
            "missing": NotDownloadedError("ViT", "fetch it"),
            "torch": RuntimeError("DefaultCPUAllocator: can't allocate memory"),
            "other": KeyError("name"),
        }
        raise errors[kind]

    def hog(self, read, *, limit):
        """Allocate without end under a limit of the address space."""
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        held = []
        while True:
            yield Progress(0, 0, "Allocating")
            held.append(np.empty(2**24))

    def crash(self, read):
        yield Progress(0, 1, "")
        os.abort()

    def hang(self, read):
        yield Progress(0, 1, "")
        time.sleep(3600)


if __name__ == "__main__":
    serve(Calls)
