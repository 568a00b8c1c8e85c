"""The class list of an image to and from a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_wildseg.engine.errors import WildsegError
from napari_wildseg.gui.layers.class_list import matched
from napari_wildseg.gui.notices import by_number
from napari_wildseg.io.class_sets import read_class_set, write_class_set

if TYPE_CHECKING:
    from napari_wildseg.gui.actions.controller import Controller


def save_classes(controller: Controller, path: str | Path) -> Path | None:
    """Write the class list; the file dialog has asked before replacing."""
    try:
        written = write_class_set(path, controller.classes, overwrite=True)
    except WildsegError as error:
        controller.notify(str(error))
        return None
    number, name = len(controller.classes), written.name
    controller.status.emit(by_number(number, "Kept {n} [class|classes] in {name}.", name=name))
    return written


def load_classes(controller: Controller, path: str | Path) -> bool:
    """Add the classes of a file to the list; a name that is there already stays as it is."""
    session = controller.session
    used = session.used_ids if session is not None and session.tracked else set()
    before = controller.classes
    try:
        saved = read_class_set(path)
        classes, _ = matched(before, saved, used)
    except WildsegError as error:
        controller.notify(str(error))
        return False
    controller.set_classes(classes)
    moved = [
        c.name
        for c in classes[len(before) :]
        if c.id != next(s.id for s in saved if s.name == c.name)
    ]
    note = f" New ids, since theirs are taken here: {', '.join(moved)}." if moved else ""
    number, name = len(classes) - len(before), Path(path).name
    added = by_number(number, "Added {n} [class|classes] of {name}.", name=name)
    controller.status.emit(added + note)
    return True
