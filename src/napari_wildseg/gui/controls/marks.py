"""Marks of classes that the model has little idea of, before anything is segmented."""

from collections.abc import Sequence

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.names.familiarity import MODEL_WITH_TABLE, class_familiarity


def unfamiliar(classes: Sequence[ClassInfo], model: str) -> dict[int, str]:
    """Return a sentence for each class to mark, by its id."""
    if model != MODEL_WITH_TABLE:
        return {}
    found = {info.id: class_familiarity(info).notice for info in classes}
    return {number: notice for number, notice in found.items() if notice}
