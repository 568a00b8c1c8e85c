"""Exceptions whose messages tell the annotator what is wrong and what to do."""

from __future__ import annotations


class WildsegError(Exception):
    """An operation failed; the message is one sentence that the annotator can act on.

    ``exit_status`` is the exit status of the ``wildseg`` command.
    """

    exit_status = 1


class InputError(WildsegError, ValueError):
    """The input cannot be used: wrong shape, unreadable file, no class names, ..."""

    exit_status = 2
