"""``python -m napari_wildseg.process [THREADS]``: the engine process. The window starts it."""

import gc
import os
import sys
from collections.abc import Callable
from typing import Any

from napari_wildseg.process.server import Server


def serve(make_calls: Callable[[], Any]) -> None:
    """Serve the window over the standard streams until it closes them."""
    if hasattr(os, "nice"):
        os.nice(5)  # the window goes first
    source = os.fdopen(os.dup(sys.stdin.fileno()), "rb")
    # What a library prints must not get between the messages.
    target = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    Server(source, target).run(make_calls)


def engine() -> Any:
    """Load the libraries and return what the window can ask for."""
    from napari_wildseg.engine.models.light_import import allow, import_open_clip

    allow()
    import torch

    from napari_wildseg.process.calls import Calls

    import_open_clip()
    gc.freeze()  # memory is collected whenever an image is given up; the libraries stay

    if len(sys.argv) > 1 and int(sys.argv[1]):
        torch.set_num_threads(int(sys.argv[1]))
    return Calls()


if __name__ == "__main__":
    serve(engine)
