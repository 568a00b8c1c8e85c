"""`LabelImage`: labels with classes and metadata, which every format reads and writes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_wildseg.engine.checks import require
from napari_wildseg.engine.classes import (
    MAX_CLASSES,
    MAX_NAME,
    UNLABELLED,
    ClassInfo,
    check_characters,
    class_colour,
)
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.names.palette import voc_palette
from napari_wildseg.io.masks.runs import runs_of

if TYPE_CHECKING:
    from napari_wildseg.engine.large import LargeResult
    from napari_wildseg.engine.result import Result

SIDECAR_FORMAT = "napari-wildseg labels"
SIDECAR_VERSION = 1
AXES = ("yx", "zyx", "tyx", "tzyx")


@dataclass(frozen=True, eq=False)
class LabelImage:
    """Labels of an image or a stack, with classes, pixel size and how they were made.

    Attributes
    ----------
    labels : ndarray
        ``(H, W)``, ``(Z, H, W)`` or ``(T, Z, H, W)`` uint8: 0 background, the classes' ids, 255
        unlabelled.
    classes : tuple of ClassInfo
        In ascending order of id; every label value except 0 and 255 has a class. White space in a
        name is replaced by a single space.
    scale : tuple of float
        Pixel size along each axis, in ``units``; the time step for a time axis. Default: ones.
    units : str
        ``"pixel"`` or a unit of length such as ``"micrometer"``.
    image : str
        Name of the picture that the labels belong to, or ``""``.
    model : str
        Model string of the model that made the labels, or ``""``.
    settings : dict
        Settings the labels were made with; must be writable as JSON.
    corrections : ndarray or None
        int16 of the labels' shape: -1 not corrected, else the label that the annotator gave.
    axes : str
        One letter per axis: ``"yx"``, ``"zyx"``, ``"tyx"`` or ``"tzyx"``. Default: by the shape.
    translate : tuple of float
        Position of the centre of the first pixel along each axis, in ``units``. Default: zeros.
    affine : tuple of tuple of float, or None
        ``(N + 1, N + 1)`` homogeneous matrix for N axes, applied after scale and translation
        (rotation, shear); None for the identity.
    notices : tuple of str
        Messages of the reader on what it left out; not written to files.

    Raises
    ------
    InputError
        If shapes, types or values break the rules above, or a name holds control characters.
    """

    labels: NDArray[np.uint8]
    classes: tuple[ClassInfo, ...]
    scale: tuple[float, ...] = ()
    units: str = "pixel"
    image: str = ""
    model: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    corrections: NDArray[np.int16] | None = None
    axes: str = ""
    translate: tuple[float, ...] = ()
    affine: tuple[tuple[float, ...], ...] | None = None
    notices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        labels = self.labels
        require(labels, np.ndarray, "labels", "an array")
        if not 2 <= labels.ndim <= 4 or labels.dtype != np.uint8 or 0 in labels.shape:
            raise InputError(
                "Labels must be a non-empty (H, W), (Z, H, W) or (T, Z, H, W) uint8 array, not "
                f"{labels.shape} {labels.dtype}."
            )
        known = _checked_classes(self.classes)
        classes = tuple(_on_one_line(c) for c in sorted(known, key=lambda c: c.id))
        object.__setattr__(self, "classes", classes)
        ids = [info.id for info in self.classes]
        if len(set(ids)) < len(ids) or any(not 1 <= i <= MAX_CLASSES for i in ids):
            raise InputError(f"Class ids must be different numbers from 1 to {MAX_CLASSES}: {ids}.")
        nameless = sorted(set(_values(labels)) - {0, UNLABELLED} - set(ids))
        if nameless:
            raise InputError(f"Label {nameless[0]} occurs in the labels but is no class.")
        self._check_place()
        if self.corrections is not None:
            require(self.corrections, np.ndarray, "corrections", "an int16 array, or None")
        if self.corrections is not None and (
            self.corrections.shape != labels.shape or self.corrections.dtype != np.int16
        ):
            raise InputError("Corrections must be int16 and of the labels' shape.")
        check_corrections(self.corrections)

    def _check_place(self) -> None:
        ndim = self.labels.ndim
        object.__setattr__(self, "axes", self.axes or "tzyx"[-ndim:])
        scale, translate = _floats(self.scale, "pixel size"), _floats(self.translate, "place")
        object.__setattr__(self, "scale", scale or (1.0,) * ndim)
        object.__setattr__(self, "translate", translate or (0.0,) * ndim)
        if self.axes not in AXES or len(self.axes) != ndim:
            raise InputError(f'Axes of such labels are "{"tzyx"[-ndim:]}", not "{self.axes}".')
        if len(self.scale) != ndim or not all(math.isfinite(s) and s > 0 for s in self.scale):
            raise InputError(
                f"The pixel size must be {ndim} positive numbers, one an axis, not {self.scale}."
            )
        if len(self.translate) != ndim or not all(map(math.isfinite, self.translate)):
            raise InputError(f"The place must be {ndim} numbers, one an axis: {self.translate}.")
        if self.affine is not None:
            try:
                matrix = np.array(self.affine, float)
            except (TypeError, ValueError):
                matrix = np.empty(0)
            if matrix.shape != (ndim + 1, ndim + 1) or not np.isfinite(matrix).all():
                raise InputError(f"The affine matrix must be {ndim + 1} x {ndim + 1} numbers.")
            same = np.array_equal(matrix, np.eye(ndim + 1))
            plain = None if same else tuple(tuple(row) for row in matrix.tolist())
            object.__setattr__(self, "affine", plain)

    @classmethod
    def from_array(
        cls, values: ArrayLike, classes: Iterable[ClassInfo] = (), **about: Any
    ) -> LabelImage:
        """Make a label image from an integer array; values without a class get a placeholder class.

        Parameters
        ----------
        values : array_like
            ``(H, W)``, ``(Z, H, W)`` or ``(T, Z, H, W)`` bool or integers, 0 to 255.
        classes : iterable of ClassInfo
            The known classes.
        **about
            The other attributes.

        Raises
        ------
        InputError
            If the array has another shape or type, or values outside 0..255.
        """
        array = np.asarray(values)
        if not 2 <= array.ndim <= 4 or array.dtype.kind not in "bui":
            raise InputError(
                "A label image is a (H, W), (Z, H, W) or (T, Z, H, W) array of integers; this "
                f"one is {array.shape} {array.dtype}."
            )
        if array.size and (int(array.min()) < 0 or int(array.max()) > 255):
            raise InputError(
                f"Labels run from {array.min()} to {array.max()}; only 0 to 255 can be used "
                "(0 background, 255 unlabelled)."
            )
        labels = np.ascontiguousarray(array, dtype=np.uint8)
        known = {info.id: info for info in _checked_classes(classes)}
        for value in _values(labels):
            if value not in (0, UNLABELLED) and value not in known:
                known[value] = placeholder_class(value)
        return cls(labels, tuple(known.values()), **about)

    @classmethod
    def from_result(
        cls, result: Result | LargeResult, *, image: str = "", **about: Any
    ) -> LabelImage:
        """Make a label image from a result, with its classes, model, settings and corrections.

        Parameters
        ----------
        result : Result or LargeResult
            Result of `Segmenter` or `LargeSegmenter`; the labels must be in memory.
        image : str
            Name of the picture.
        **about
            Further attributes, such as scale and units.
        """
        about.setdefault("corrections", getattr(result, "corrections", None))
        return cls(
            result.labels,
            result.classes,
            image=image,
            model=result.model,
            settings=settings_of(result),
            **about,
        )

    @property
    def palette(self) -> NDArray[np.uint8]:
        """``(256, 3)`` uint8: colours of the classes; PASCAL VOC's for other values."""
        palette = voc_palette(256)
        for info in self.classes:
            palette[info.id] = info.colour
        return palette

    @property
    def stacked(self) -> bool:
        """Whether there are more axes than height and width."""
        return self.labels.ndim > 2

    def with_labels(self, labels: NDArray[np.uint8]) -> LabelImage:
        """Return a copy with other labels."""
        return replace(self, labels=labels)

    def plane(self, *index: int) -> LabelImage:
        """Return one plane of a stack.

        Parameters
        ----------
        *index : int
            An index for each axis before height and width, from 0.

        Raises
        ------
        InputError
            If the index is out of range.
        """
        shape = self.labels.shape[:-2]
        if len(index) != len(shape) or not all(0 <= i < n for i, n in zip(index, shape)):  # noqa: B905
            size = " x ".join(map(str, shape)) or "one"
            raise InputError(f"There is no plane {index}: there are {size}, counted from 0.")
        matrix = None if self.affine is None else np.array(self.affine)[-3:, -3:]
        return replace(
            self,
            labels=self.labels[index],
            scale=self.scale[-2:],
            axes="yx",
            translate=self.translate[-2:],
            affine=None if matrix is None else tuple(map(tuple, matrix.tolist())),
            corrections=None if self.corrections is None else self.corrections[index],
        )

    def about(self, *, corrections: bool = True) -> dict[str, Any]:
        """Return all attributes except the labels as a JSON-serialisable dictionary.

        Parameters
        ----------
        corrections : bool
            Whether to include corrections, as run lengths. Formats that store them as an array
            leave them out.
        """
        more: dict[str, Any] = {}
        if self.stacked:
            more |= {"axes": self.axes, "shape": list(self.labels.shape)}
        if any(self.translate):
            more["translate"] = list(self.translate)
        if self.affine is not None:
            more["affine"] = [list(row) for row in self.affine]
        if corrections and self.corrections is not None:
            more["corrections"] = runs_of(self.corrections)
        return description_of(
            self.labels.shape,
            self.classes,
            image=self.image,
            scale=list(self.scale),
            units=self.units,
            model=self.model,
            settings=dict(self.settings),
            **more,
        )


def description_of(
    shape: tuple[int, ...], classes: Iterable[ClassInfo], /, *, image: str, **more: Any
) -> dict[str, Any]:
    """Return the description of labels of a shape, as `LabelImage.about` does."""
    return {
        "format": SIDECAR_FORMAT,
        "version": SIDECAR_VERSION,
        "image": image,
        "image_size": {"height": shape[-2], "width": shape[-1]},
        "classes": classes_to_json(classes),
        "unlabelled": UNLABELLED,
        **more,
    }


def settings_of(result: Result | LargeResult) -> dict[str, Any]:
    """Return the settings of a result for files, with ``"refined"`` added."""
    return {**result.settings, "refined": result.settings.get("refiner") is not None}


def check_corrections(corrections: NDArray[np.integer[Any]] | None) -> None:
    """Raise `InputError` if a correction is neither -1 nor a label from 0 to 254."""
    if corrections is None or not corrections.size:
        return
    low, high = int(corrections.min()), int(corrections.max())
    if low < -1 or high > MAX_CLASSES:
        raise InputError(
            f"The corrections hold {low if low < -1 else high}: give -1 where nothing is "
            f"corrected, else a label from 0 to {MAX_CLASSES}."
        )


def _checked_classes(classes: Iterable[ClassInfo]) -> tuple[ClassInfo, ...]:
    """Return classes as a tuple; raise `InputError` if one is not a `ClassInfo`."""
    try:
        found = tuple(classes)
    except TypeError:
        raise InputError(f"The classes are {classes!r}: give ClassInfo objects.") from None
    for info in found:
        require(info, ClassInfo, "class", "a ClassInfo")
    return found


def _floats(values: Iterable[float], name: str) -> tuple[float, ...]:
    try:
        return tuple(map(float, values))
    except (TypeError, ValueError):
        raise InputError(f"The {name} is {values!r}: give a number for each axis.") from None


def _on_one_line(info: ClassInfo) -> ClassInfo:
    """Collapse white space in a name, since some formats store one name per line."""
    name = " ".join(info.name.split())
    for text in (name, *info.prompts):
        check_characters(" ".join(text.split()), f"Class {info.id}")
    return info if name == info.name else replace(info, name=name)


def placeholder_class(value: int, colour: tuple[int, int, int] | None = None) -> ClassInfo:
    """Return a class called ``class N`` for a label value without a name."""
    name = f"class {value}"
    return ClassInfo(value, name, (name,), colour or class_colour(value))


def classes_to_json(classes: Iterable[ClassInfo]) -> list[dict[str, Any]]:
    """Convert classes to JSON objects, as `classes_from_json` reads them."""
    return [
        {"id": c.id, "name": c.name, "prompts": list(c.prompts), "colour": list(c.colour)}
        for c in classes
    ]


def classes_from_json(entries: object, where: str) -> tuple[ClassInfo, ...]:
    """Convert parsed JSON to classes; every value is checked. Errors name the file ``where``."""
    if not isinstance(entries, list) or len(entries) > MAX_CLASSES:
        raise InputError(f"{where}: the classes are not a list of at most {MAX_CLASSES}.")
    classes = []
    for entry in entries:
        if not isinstance(entry, dict):
            raise InputError(f"{where}: a class is not an object with id and name.")
        number, name = entry.get("id"), entry.get("name")
        prompts = entry.get("prompts", [name])
        colour = entry.get("colour")
        if type(number) is not int or not 1 <= number <= MAX_CLASSES:
            raise InputError(f"{where}: a class id is not a number from 1 to {MAX_CLASSES}.")
        texts = [name, *prompts] if isinstance(prompts, list) and prompts else [None]
        if not all(isinstance(t, str) and 0 < len(t) <= MAX_NAME for t in texts):
            raise InputError(f"{where}: class {number} has no usable name or prompts.")
        for text in texts:
            check_characters(" ".join(str(text).split()), f"{where}: class {number}")
        if colour is None:
            colour = list(class_colour(number))
        if not (
            isinstance(colour, list)
            and len(colour) == 3
            and all(type(c) is int and 0 <= c <= 255 for c in colour)
        ):
            raise InputError(f"{where}: the colour of class {number} is not three bytes.")
        classes.append(ClassInfo(number, str(name), tuple(prompts), tuple(colour)))
    return tuple(classes)


def _values(labels: NDArray[np.uint8]) -> list[int]:
    """Return the label values that occur, ascending."""
    return np.flatnonzero(np.bincount(labels.ravel(), minlength=256)).tolist()
