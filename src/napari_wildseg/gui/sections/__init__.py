"""The sections of the dock widget, one module each.

A section is a `Section`: it holds controls, asks the controller, and shows what the controller's
signals say. It knows no other section. To add one, write a module here and name its class in
`EXTRA`: it appears below the main loop, folded, under its title.
"""

from napari_wildseg.gui.sections.batch_section import BatchSection
from napari_wildseg.gui.sections.review_section import ReviewSection
from napari_wildseg.gui.sections.section import Section
from napari_wildseg.gui.sections.stack_section import StackSection
from napari_wildseg.gui.sections.vocabulary_section import VocabularySection

EXTRA: tuple[type[Section], ...] = (VocabularySection, StackSection, BatchSection, ReviewSection)
"""Sections beside the main loop, in the order in which they are shown."""
