"""Failures as sentences: napari notifications, never a traceback."""

import logging
import re
from collections.abc import Callable, Sequence
from typing import Any

from napari.utils import notifications

from napari_wildseg.engine.errors import WildsegError, out_of_memory
from napari_wildseg.gui.controls.plain_text import plain

_log = logging.getLogger(__name__)


def pluralise(number: int, sentence: str, **words: object) -> str:
    """Return a sentence for a number of things; brackets hold the words for one and for more.

    Examples
    --------
    >>> pluralise(1, "{n} [image is|images are] done.")
    '1 image is done.'
    """
    chosen = re.sub(r"\[([^|]*)\|([^]]*)\]", r"\1" if number == 1 else r"\2", sentence)
    return chosen.format(n=f"{number:,}", **words)


def join_names(names: Sequence[str], most: int = 5) -> str:
    """Return names as they stand in a sentence: "a, b and c", "a, b and 7 more"."""
    parts = list(names)
    if len(parts) > most:
        parts[most:] = [f"{len(parts) - most} more"]
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def sentence(error: BaseException, doing: str) -> str:
    """Return what to tell the annotator about an error."""
    if isinstance(error, WildsegError):
        return str(error)
    if out_of_memory(error):
        return (
            f"{doing} needs more memory than there is: use a smaller image or close other programs."
        )
    _log.error("%s failed", doing, exc_info=error)
    first = str(error).strip().splitlines()[:1]
    reason = f"{type(error).__name__}: {first[0]}" if first else type(error).__name__
    return f"{doing} stopped because of an unexpected error ({reason}). Nothing was changed."


def warn(message: str) -> None:
    """Show a sentence as a napari warning."""
    notifications.show_warning(plain(message))


def offer(message: str, button: str, act: Callable[[], object]) -> None:
    """Show a sentence with a button that helps."""

    def pressed(notification: Any) -> None:
        notification.close()
        act()

    note = notifications.Notification(plain(message), "warning", actions=((button, pressed),))
    notifications.notification_manager.dispatch(note)
