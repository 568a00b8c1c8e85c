"""What keeps a batch from being started or resumed: other settings, files of others."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_wildseg.batch.journal import has_journal
from napari_wildseg.batch.outputs import Output
from napari_wildseg.batch.plan.class_plan import ClassPlan
from napari_wildseg.batch.plan.worklist import WorkItem
from napari_wildseg.engine.errors import InputError
from napari_wildseg.io.label_image import classes_from_json
from napari_wildseg.io.safety.owners import check_owner

_ADVICE = "resume with what it was started with, or choose another --out."


def check_same(old: dict[str, Any], new: dict[str, Any], folder: Path) -> None:
    """Raise `InputError` if a batch is resumed with other settings than it was started with."""
    for key, word in (("output", "--format"), ("mode", "kind of --labels")):
        if old.get(key) != new[key]:
            raise InputError(
                f"The batch in {folder} has the {word} {old.get(key)}, not {new[key]}: {_ADVICE}"
            )
    if old.get("corrected", {}) != new["corrected"]:
        raise InputError(f"The batch in {folder} was begun with other corrected labels: {_ADVICE}")
    earlier = old.get("settings", {})
    for key in earlier | new["settings"]:  # either side leaves "objects" out where it is False
        before, value = earlier.get(key, False), new["settings"].get(key, False)
        if before != value and key != "device":
            raise InputError(f"The batch in {folder} has {key} {before}, not {value}: {_ADVICE}")


def same_classes(old: dict[str, Any], plan: ClassPlan, folder: Path) -> ClassPlan:
    """Return the plan with classes that a review added; raise `InputError` if classes differ."""
    known = classes_from_json(old.get("classes"), "journal.jsonl")
    shared = min(len(known), len(plan.classes))
    if known[:shared] != plan.classes[:shared]:
        names = ", ".join(info.name for info in known[:5])
        raise InputError(
            f"The batch in {folder} has other classes ({names}{', ...' if len(known) > 5 else ''}):"
            f" {_ADVICE}"
        )
    return replace(plan, classes=max(known, plan.classes, key=len))


def refuse_foreign(
    output: Output, items: Sequence[WorkItem], read: Iterable[str], *, overwrite: bool
) -> None:
    """Raise `InputError` before any work if an input or an existing file would be replaced.

    `read`: what else the batch reads, as it was given.
    """
    folder = output.folder
    pictures = {Path(item.path).resolve() for item in items}
    others = {Path(text).resolve() for text in read}
    if not has_journal(folder):
        foreign = [file for file in output.shared if (folder / file).exists()]
        if foreign:
            raise InputError(
                f"{folder / foreign[0]} belongs to another data set: choose another --out."
            )
    for item in items:
        paths = [folder / file for file in output.files(item.name)]
        if any(path.resolve() in pictures for path in paths):
            raise InputError(
                f"{paths[0]} would replace a picture of the batch: choose another --out."
            )
        also = [path for path in paths if path.resolve() in others]
        if also:
            raise InputError(f"{also[0]} is read by the batch: choose another --out.")
        there = [] if overwrite else [path for path in paths if path.exists()]
        if there:
            raise InputError(
                f"{there[0]} is already there: choose another --out, or add --overwrite."
            )
        for path in paths[1:]:
            if path.parent == folder and path.suffix == ".json":
                check_owner(path, paths[0])
