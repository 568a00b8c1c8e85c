"""Exceptions whose messages tell the annotator what is wrong and what to do."""

from __future__ import annotations

_NO_MEMORY = ("out of memory", "allocate memory", "not enough memory")

_ONEDNN_NO_MEMORY = "could not create a primitive"
"""The whole message; with more words after it, oneDNN does not support an operation."""


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory ran out, on any device.

    PyTorch has no class of its own for it on a CPU.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return text == _ONEDNN_NO_MEMORY or any(words in text for words in _NO_MEMORY)


class WildsegError(Exception):
    """An operation failed; the message is one sentence that the annotator can act on.

    ``exit_status`` is the exit status of the ``wildseg`` command.
    """

    exit_status = 1


class InputError(WildsegError, ValueError):
    """The input cannot be used: wrong shape, unreadable file, no class names, ..."""

    exit_status = 2


class NotDownloadedError(WildsegError):
    """The model is known but not on this machine.

    Parameters
    ----------
    model : str
        The model string.
    message : str
        What to tell the annotator.
    megabytes : int
        What a download takes; 0 if that is not known.
    """

    def __init__(self, model: str, message: str, megabytes: int = 0) -> None:
        super().__init__(message)
        self.model, self.megabytes = model, megabytes

    def __reduce__(self) -> tuple[type[NotDownloadedError], tuple[str, str, int]]:
        return type(self), (self.model, str(self), self.megabytes)
