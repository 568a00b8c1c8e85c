"""The sections of the dock widget, one module each.

A section is a `Section`: it holds controls, asks the controller, and shows what the controller's
signals say. It knows no other section. To add one, write a module here and name its class in
`EXTRA`: it appears below the main loop, folded, under its title.
"""

from __future__ import annotations

from napari_wildseg.gui.sections.base import Section
from napari_wildseg.gui.sections.batch import BatchSection
from napari_wildseg.gui.sections.review import ReviewSection
from napari_wildseg.gui.sections.stack import StackSection
from napari_wildseg.gui.sections.vocabulary import VocabularySection

EXTRA: tuple[type[Section], ...] = (
    VocabularySection,
    StackSection,
    BatchSection,
    ReviewSection,
)
"""Sections beside the main loop, in the order in which they are shown."""
