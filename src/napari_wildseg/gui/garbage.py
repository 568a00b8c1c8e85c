"""Puts off full garbage collections while the first run is made ready.

PyTorch and what it brings are half a million objects. A collection of the oldest generation looks
at all of them, a third of a second in which the window does not answer; the import itself makes
one due. It is put off to a moment at which nobody waits. The younger generations are collected as
ever, and layers that were removed are let go at that moment at the latest.
"""

from __future__ import annotations

import gc

_NEVER = 1_000_000_000
"""A third threshold, in collections of the second generation, that is not reached."""

_put_off: list[PutOff] = []
_before = 10


class PutOff:
    """Keeps the oldest generation from being collected on its own from `start` to `end`."""

    def start(self) -> None:
        """Put full collections off; more than once is harmless."""
        global _before
        if self in _put_off:
            return
        if not _put_off:
            first, second, _before = gc.get_threshold()
            gc.set_threshold(first, second, _NEVER)
        _put_off.append(self)

    def end(self) -> None:
        """Let them happen again, unless another widget is still getting ready."""
        if self not in _put_off:
            return
        _put_off.remove(self)
        first, second, third = gc.get_threshold()
        if not _put_off and third == _NEVER:
            gc.set_threshold(first, second, _before)
