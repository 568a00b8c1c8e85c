"""Names and messages shown as they are, where Qt would take some of them for HTML."""

from qtpy.QtCore import Qt

_BREAK = "\u200b"
"""A space of no width. No class name holds one, so it can be taken out again."""


def plain(text: str) -> str:
    """Return a text that Qt shows as it is, in tooltips, notifications and napari's status bar.

    Qt looks whether a text begins like HTML. Such a text would be laid out, and the pictures that
    it names would be loaded.
    """
    if not Qt.mightBeRichText(text):  # type: ignore[attr-defined]
        return text
    return text.replace("<", "<" + _BREAK).replace("&", "&" + _BREAK)


def raw(text: str) -> str:
    """Return the text that `plain` was given."""
    return text.replace(_BREAK, "")
