"""`ObjectImage`: ids of objects, and the labels they belong to."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import MAX_CLASSES, UNLABELLED
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.instances import classes_of, table_of
from napari_wildseg.io.description import about_from_json
from napari_wildseg.io.label_image import LabelImage
from napari_wildseg.io.masks.runs import corrections_of_runs, runs_of
from napari_wildseg.io.safety.json_data import check_version

OBJECT_FORMAT = "napari-wildseg objects"
OBJECT_VERSION = 1
MAX_ID = 65535
"""Greatest id that 16-bit files hold."""


@dataclass(frozen=True, eq=False)
class ObjectImage:
    """Objects of an image or a stack, with all that a file tells about them."""

    ids: NDArray[np.int32]  # ``(H, W)`` or ``(Z, H, W)`` int32: 0 for no object, else its id
    # Classes, pixel size and the rest. Its labels are those of the objects: where one is, its
    # class; elsewhere 0, or 255 for unlabelled.
    labels: LabelImage
    # The class of each id. By default the class of most of its pixels in ``labels``.
    class_of: Mapping[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.ids.shape != self.labels.labels.shape or self.ids.dtype != np.int32:
            raise InputError("Ids must be int32 and of the labels' shape.")
        if int(self.ids.min()) < 0:
            raise InputError("Ids of objects are 1 or more.")
        class_of = dict(self.class_of) or classes_of(self.ids, self.labels.labels)
        found = np.unique(self.ids[self.ids > 0]).tolist()
        known = {info.id for info in self.labels.classes}
        for number in found:
            if class_of.get(number) not in known:
                raise InputError(f"Object {number} has no class: label its pixels.")
        object.__setattr__(self, "class_of", {n: class_of[n] for n in found})
        classes = np.where(self.labels.labels == UNLABELLED, UNLABELLED, 0).astype(np.uint8)
        here = self.ids > 0
        lookup = np.array([class_of[n] for n in found], np.uint8)
        if found:
            classes[here] = lookup[np.searchsorted(found, self.ids[here])]
        object.__setattr__(self, "labels", replace(self.labels, labels=classes, corrections=None))

    def table(self) -> dict[str, NDArray[Any]]:
        """Measure the objects in the labels' units; a stack has a row an object and plane."""
        if self.ids.ndim == 2:
            return table_of(self.ids, self.class_of, self.labels.classes, self.labels.scale)
        if self.ids.ndim != 3:
            raise InputError("A table is made of one plane or of one stack of planes.")
        scale = self.labels.scale[-2:]
        rows = [table_of(p, self.class_of, self.labels.classes, scale) for p in self.ids]
        planes = np.repeat(np.arange(len(rows)), [len(row["id"]) for row in rows])
        return {"plane": planes} | {
            name: np.concatenate([row[name] for row in rows]) for name in rows[0]
        }

    def about(self) -> dict[str, Any]:
        """Return everything but the ids, ready for JSON."""
        missing = self.labels.labels == UNLABELLED
        more: dict[str, Any] = {}
        if missing.any():
            more["unlabelled"] = runs_of(np.where(missing, np.int16(0), np.int16(-1)))
        return {
            "format": OBJECT_FORMAT,
            "version": OBJECT_VERSION,
            "objects": {str(number): value for number, value in self.class_of.items()},
            **more,
            "about": self.labels.about(corrections=False),
        }


def described_objects(values: NDArray[Any], about: object, where: str) -> ObjectImage:
    """Join the ids of a file and their description; every value of it is checked."""
    if not isinstance(about, dict) or about.get("format") != OBJECT_FORMAT:
        raise InputError(f"{where} is not a description of objects by napari-wildseg.")
    check_version(about, OBJECT_VERSION, where)
    known = about_from_json(about.get("about"), where, values.shape)
    shape = known.pop("shape")
    ids = checked_ids(values, where).reshape(shape)
    objects = about.get("objects")
    if not isinstance(objects, dict) or not all(
        key.isascii() and key.isdigit() and len(key) < 11 and type(value) is int
        for key, value in objects.items()
    ):
        raise InputError(f"{where}: the classes of its objects are not numbers by id.")
    class_of = {int(key): value for key, value in objects.items()}
    labels = np.zeros(shape, np.uint8)
    if "unlabelled" in about:
        labels[corrections_of_runs(about["unlabelled"], shape, where) == 0] = UNLABELLED
    return ObjectImage(ids, LabelImage(labels, **known), class_of)


def checked_ids(values: NDArray[Any], where: str) -> NDArray[np.int32]:
    """Return values of a file as ids, or raise `InputError`."""
    if values.dtype.kind not in "bui" or (values.size and int(values.min()) < 0):
        raise InputError(f"{where} holds no ids of objects: whole numbers, 0 or more, are wanted.")
    if values.size and int(values.max()) >= 2**31:
        raise InputError(f"{where} holds ids beyond {2**31 - 1}.")
    return np.ascontiguousarray(values, np.int32)


def foreign_objects(values: NDArray[Any], where: str, **about: Any) -> ObjectImage:
    """Take ids of another program's file: all objects are of one class, "object"."""
    ids = checked_ids(values, where)
    labels = LabelImage.from_array((ids > 0).astype(np.uint8), **about)
    named = tuple(replace(info, name="object", prompts=("object",)) for info in labels.classes)
    return ObjectImage(ids, replace(labels, classes=named))


def refuse_large_ids(objects: ObjectImage, where: str) -> None:
    """Raise `InputError` if ids do not fit 16 bits, or a class id is beyond the labels'."""
    most = int(objects.ids.max(initial=0))
    if most > MAX_ID or max(objects.class_of.values(), default=0) > MAX_CLASSES:
        raise InputError(
            f"{where} holds ids up to {MAX_ID}, and there is one of {most}: "
            "write OME-Zarr or COCO, or drop specks with a least size."
        )
