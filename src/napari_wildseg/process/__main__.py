"""``python -m napari_wildseg.process``: the engine process. The window starts it."""

from __future__ import annotations

import os
import sys
from contextlib import suppress


def main() -> None:
    """Serve the window until it closes the pipe."""
    from napari_wildseg.engine.models.light_import import allow
    from napari_wildseg.process.server import Server

    allow()
    if sys.platform != "win32":
        with suppress(OSError):
            lowest = max(5, os.getpriority(os.PRIO_PROCESS, 0))
            os.setpriority(os.PRIO_PROCESS, 0, lowest)  # the window goes first
    # What a library prints must not get between the messages.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    Server(os.fdopen(os.dup(sys.stdin.fileno()), "rb", buffering=0), out).run(threads)


if __name__ == "__main__":
    main()
