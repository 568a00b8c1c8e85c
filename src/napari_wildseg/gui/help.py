"""Help: the page of the documentation that explains a section or a message."""

from pathlib import Path
from typing import NamedTuple

from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QWidget

from napari_wildseg.addresses import page_address

HELP_KEY = "F1"
"""Free in napari."""

LOOP = "widget.md#the-loop"


class HelpTopic(NamedTuple):
    """A kind of message and the page on it."""

    words: str  # part of the message
    page: str  # file of docs/ and heading
    title: str


HELP_TOPICS = (
    HelpTopic("not on this machine", "models.md#without-a-network", "models without a network"),
    HelpTopic("was left out: ", "labels.md#typing-names", "names that are found"),
    HelpTopic("got no pixels", "labels.md#typing-names", "names that are found"),
    HelpTopic("No name of the list fits", "labels.md#suggestions", "suggestions"),
    HelpTopic("The engine stopped", "widget.md#the-engine-process", "the engine process"),
    HelpTopic("needs more memory than", "widget.md#the-engine-process", "the engine process"),
    HelpTopic("up to 4 million pixels", "large_images.md", "large images"),
    HelpTopic("cannot be kept safe", "widget.md#what-is-kept-safe", "what is kept safe"),
    HelpTopic(" left on ", "widget.md#what-is-kept-safe", "what is kept safe"),
    HelpTopic(": Ctrl+Z undoes", LOOP, "refining"),
    HelpTopic("labels mean the same in every file", "labels.md#class-sets", "class sets"),
    HelpTopic("would not have helped", "memory.md", "class memory"),
    HelpTopic("earlier images", "memory.md", "class memory"),
    HelpTopic("are taken together", LOOP, "channels"),
    HelpTopic("no label of a class", "formats.md#label-values", "label values"),
)
"""The first that fits a message explains it."""


def find_topic(message: str) -> HelpTopic | None:
    """Return the topic that explains a message, None if no topic fits."""
    return next((one for one in HELP_TOPICS if one.words in message), None)


def page_for(control: QWidget | None) -> str:
    """Return the page for the section that a control is in; the whole loop for any other."""
    while control is not None:
        if page := getattr(control, "page", ""):
            return str(page)
        control = control.parentWidget()
    return LOOP


def open_page(page: str) -> str:
    """Open a page in the browser: from the copy of the repository, else from the site."""
    local = Path(__file__).parents[3] / "docs" / page.partition("#")[0]
    address = page_address(page)
    shown = QUrl.fromLocalFile(str(local)) if local.is_file() else QUrl(address)
    QDesktopServices.openUrl(shown)
    return address
