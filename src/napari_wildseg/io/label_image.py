"""`LabelImage`: a label image with its names and colours, what every format writes and reads."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_wildseg.engine.classes import (
    MAX_CLASSES,
    MAX_NAME,
    UNLABELLED,
    ClassInfo,
    class_colour,
)
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.palette import voc_palette
from napari_wildseg.engine.pictures import reason

if TYPE_CHECKING:
    from napari_wildseg.engine.result import Result

SIDECAR_FORMAT = "napari-wildseg labels"
SIDECAR_VERSION = 1
MAX_JSON = 64_000_000
"""Longest JSON text that is read, in bytes."""


@dataclass(frozen=True, eq=False)
class LabelImage:
    """Labels of one image, with all that a file may tell about them.

    Attributes
    ----------
    labels : ndarray
        ``(H, W)`` uint8: 0 background, the classes' ids, 255 unlabelled.
    classes : tuple of ClassInfo
        In ascending order of id; every label value but 0 and 255 has one.
    scale : tuple of float
        Height and width of a pixel, in ``units``.
    units : str
        ``"pixel"`` or a unit of length such as ``"micrometer"``.
    image : str
        Name of the picture the labels belong to, or ``""``.
    model : str
        Model string that made them, or ``""``.
    settings : dict
        How they were made; must be writable as JSON.
    corrections : ndarray or None
        ``(H, W)`` int16: -1 not corrected, else the label an annotator gave.

    Raises
    ------
    InputError
        If shapes, types or values break the rules above.
    """

    labels: NDArray[np.uint8]
    classes: tuple[ClassInfo, ...]
    scale: tuple[float, float] = (1.0, 1.0)
    units: str = "pixel"
    image: str = ""
    model: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    corrections: NDArray[np.int16] | None = None

    def __post_init__(self) -> None:
        labels = self.labels
        if labels.ndim != 2 or labels.dtype != np.uint8 or 0 in labels.shape:
            raise InputError(
                f"Labels must be a non-empty (H, W) uint8 array, not {labels.shape} {labels.dtype}."
            )
        object.__setattr__(self, "classes", tuple(sorted(self.classes, key=lambda c: c.id)))
        ids = [info.id for info in self.classes]
        if len(set(ids)) < len(ids) or any(not 1 <= i <= MAX_CLASSES for i in ids):
            raise InputError(f"Class ids must be different numbers from 1 to {MAX_CLASSES}: {ids}.")
        nameless = sorted(set(_values(labels)) - {0, UNLABELLED} - set(ids))
        if nameless:
            raise InputError(f"Label {nameless[0]} occurs in the labels but is no class.")
        if not all(math.isfinite(s) and s > 0 for s in self.scale):
            raise InputError(f"The pixel size must be positive, not {self.scale}.")
        if self.corrections is not None and (
            self.corrections.shape != labels.shape or self.corrections.dtype != np.int16
        ):
            raise InputError("Corrections must be int16 and of the labels' shape.")

    @classmethod
    def from_array(
        cls, values: ArrayLike, classes: Iterable[ClassInfo] = (), **about: Any
    ) -> LabelImage:
        """Take an integer array of any width, adding a class for each nameless value.

        Parameters
        ----------
        values : array_like
            ``(H, W)`` bool or integers, 0 to 255.
        classes : iterable of ClassInfo
            What is known of the classes.
        **about
            The other attributes.

        Raises
        ------
        InputError
            If the array has another shape or type, or holds values beyond 0..255.
        """
        array = np.asarray(values)
        if array.ndim != 2 or array.dtype.kind not in "bui":
            raise InputError(
                f"A label image is a (H, W) array of integers; this one is {array.shape} "
                f"{array.dtype}."
            )
        if array.size and (int(array.min()) < 0 or int(array.max()) > 255):
            raise InputError(
                f"Labels run from {array.min()} to {array.max()}; only 0 to 255 can be used "
                "(0 background, 255 unlabelled)."
            )
        labels = np.ascontiguousarray(array, dtype=np.uint8)
        known = {info.id: info for info in classes}
        for value in _values(labels):
            if value not in (0, UNLABELLED) and value not in known:
                known[value] = placeholder_class(value)
        return cls(labels, tuple(known.values()), **about)

    @classmethod
    def from_result(cls, result: Result, *, image: str = "", **about: Any) -> LabelImage:
        """Take the labels of a segmentation, with its classes, model, settings and corrections.

        Parameters
        ----------
        result : Result
            What `Segmenter.segment` or `Segmenter.refine` returned.
        image : str
            Name of the picture.
        **about
            Further attributes, such as scale and units.
        """
        about.setdefault("corrections", result.corrections)
        return cls(
            result.labels,
            result.classes,
            image=image,
            model=result.model,
            settings={**result.settings, "refined": result.settings.get("refiner") is not None},
            **about,
        )

    @property
    def palette(self) -> NDArray[np.uint8]:
        """``(256, 3)`` uint8: the classes' colours, PASCAL VOC's elsewhere."""
        palette = voc_palette(256)
        for info in self.classes:
            palette[info.id] = info.colour
        return palette

    def with_labels(self, labels: NDArray[np.uint8]) -> LabelImage:
        """Return the same with other labels."""
        return replace(self, labels=labels)

    def about(self) -> dict[str, Any]:
        """Return everything but the arrays, ready for JSON."""
        height, width = self.labels.shape
        return {
            "format": SIDECAR_FORMAT,
            "version": SIDECAR_VERSION,
            "image": self.image,
            "image_size": {"height": height, "width": width},
            "classes": classes_to_json(self.classes),
            "unlabelled": UNLABELLED,
            "scale": list(self.scale),
            "units": self.units,
            "model": self.model,
            "settings": dict(self.settings),
        }


def placeholder_class(value: int, colour: tuple[int, int, int] | None = None) -> ClassInfo:
    """Return a class for a label value of which nothing is known.

    Parameters
    ----------
    value : int
        The label value.
    colour : tuple of int, optional
        Its colour, if a palette tells.
    """
    name = f"class {value}"
    return ClassInfo(value, name, (name,), colour or class_colour(value))


def classes_to_json(classes: Iterable[ClassInfo]) -> list[dict[str, Any]]:
    """Return classes as JSON objects.

    Parameters
    ----------
    classes : iterable of ClassInfo
        The classes.
    """
    return [
        {"id": c.id, "name": c.name, "prompts": list(c.prompts), "colour": list(c.colour)}
        for c in classes
    ]


def classes_from_json(entries: object, where: str) -> tuple[ClassInfo, ...]:
    """Read classes back; every value is checked.

    Parameters
    ----------
    entries : object
        A parsed JSON value: a list of objects with ``id``, ``name`` and, if known, ``prompts``
        and ``colour``.
    where : str
        The file, for messages.

    Raises
    ------
    InputError
        If an entry is not as described, or there are more than 254.
    """
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


def about_from_json(about: object, where: str, shape: tuple[int, ...]) -> dict[str, Any]:
    """Turn what `LabelImage.about` wrote into constructor arguments; every value is checked.

    Parameters
    ----------
    about : object
        A parsed JSON value.
    where : str
        The file, for messages.
    shape : tuple of int
        Shape of the labels it must belong to.

    Returns
    -------
    dict
        ``classes``, ``scale``, ``units``, ``image``, ``model`` and ``settings``.

    Raises
    ------
    InputError
        If it is not of our format, of a later version, or for labels of another shape.
    """
    if not isinstance(about, dict) or about.get("format") != SIDECAR_FORMAT:
        raise InputError(f"{where} is not a description of labels by napari-wildseg.")
    version = about.get("version")
    if type(version) is not int or not 1 <= version <= SIDECAR_VERSION:
        raise InputError(
            f"{where} has format version {version}; this napari-wildseg reads up to "
            f"{SIDECAR_VERSION}: update it."
        )
    size = about.get("image_size")
    if not isinstance(size, dict) or (size.get("height"), size.get("width")) != tuple(shape[:2]):
        raise InputError(f"{where} describes labels of another size than {shape[1]} x {shape[0]}.")
    scale = about.get("scale", [1.0, 1.0])
    if not (
        isinstance(scale, list)
        and len(scale) == 2
        and all(type(s) in (int, float) and math.isfinite(s) and s > 0 for s in scale)
    ):
        raise InputError(f"{where}: the pixel size is not two positive numbers.")
    texts = {key: about.get(key, "") for key in ("units", "image", "model")}
    if not all(isinstance(text, str) and len(text) <= 4096 for text in texts.values()):
        raise InputError(f"{where}: units, image and model must be short texts.")
    settings = about.get("settings", {})
    if not isinstance(settings, dict):
        raise InputError(f"{where}: the settings are not an object.")
    return {
        "classes": classes_from_json(about.get("classes"), where),
        "scale": (float(scale[0]), float(scale[1])),
        "units": texts["units"] or "pixel",
        "image": texts["image"],
        "model": texts["model"],
        "settings": settings,
    }


def dump_json(value: object) -> bytes:
    """Return JSON bytes, the same for the same value, readable by people.

    Parameters
    ----------
    value : object
        Anything made of dicts, lists, texts, numbers and NumPy scalars.
    """
    text = json.dumps(value, ensure_ascii=False, indent=2, default=_plain, allow_nan=False)
    return (text + "\n").encode("utf-8", "replace")


def parse_json(data: bytes, where: str) -> Any:
    """Parse JSON from an untrusted file.

    Parameters
    ----------
    data : bytes
        The text.
    where : str
        The file, for messages.

    Raises
    ------
    InputError
        If it is longer than `MAX_JSON`, nested too deep, or not JSON.
    """
    if len(data) > MAX_JSON:
        raise InputError(f"{where} is longer than {MAX_JSON // 1_000_000} MB.")
    try:
        return json.loads(data.decode("utf-8-sig"), parse_constant=_no_number, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        what = "nested too deep" if isinstance(error, RecursionError) else reason(error)
        raise InputError(f"{where} is not valid JSON ({what}).") from error


def _finite(text: str) -> float:
    """Take numbers that a float can hold, and no others."""
    value = float(text)
    if not math.isfinite(value):
        return _no_number(text)
    return value


def _no_number(text: str) -> float:
    raise ValueError(f"{text[:20]} is not a number")


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _values(labels: NDArray[np.uint8]) -> list[int]:
    """Values that occur, ascending."""
    return np.flatnonzero(np.bincount(labels.ravel(), minlength=256)).tolist()
