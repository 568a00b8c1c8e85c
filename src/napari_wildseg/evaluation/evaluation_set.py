"""`EvaluationSet`: a folder of images with true masks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import (
    MAX_CLASSES,
    UNLABELLED,
    ClassInfo,
    check_characters,
    class_colour,
)
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.folders import folder_error
from napari_wildseg.engine.images.rgb import as_rgb
from napari_wildseg.engine.pictures.picture_files import (
    PICTURE_SUFFIXES,
    open_picture,
    read_picture,
    upright,
)

_KNOWN_SHARE = 0.01
"""A class is known in an image if it covers at least this share of its mask."""


@dataclass(frozen=True)
class EvaluationItem:
    """One image of a set.

    Attributes
    ----------
    stem : str
        File name without ending.
    image_path, mask_path : Path
        The two files.
    names : dict of int to str
        Class names by mask value, for this image.
    value_255 : str or None
        ``"class"`` if 255 in the mask is class 1; else such pixels are ignored.
    """

    stem: str
    image_path: Path
    mask_path: Path
    names: dict[int, str]
    value_255: str | None = field(default=None, kw_only=True)

    def image(self) -> NDArray[np.uint8]:
        """Read the image: ``(H, W, 3)`` uint8."""
        return as_rgb(read_picture(self.image_path))

    def mask(self) -> NDArray[np.uint8]:
        """Read the mask: ``(H, W)`` uint8, 255 ignored, rotated upright like the image.

        Raises
        ------
        InputError
            If it is not an 8-bit or palette picture, or has a value without a name.
        """
        with open_picture(self.mask_path) as picture:
            if picture.mode not in ("L", "P", "1"):
                raise InputError(f"{self.mask_path} is not an 8-bit or palette mask.")
            try:
                mask = upright(np.array(picture), picture.getexif().get(274, 1)).astype(np.uint8)
            except (OSError, SyntaxError, ValueError) as error:
                raise InputError(f"{self.mask_path} is damaged ({error}).") from error
        if self.value_255 == "class":
            if (mask == 1).any():
                raise InputError(f"{self.mask_path} has a class 1 already: 255 cannot be it, too.")
            mask = np.where(mask == UNLABELLED, 1, mask).astype(np.uint8)
        found = set(np.unique(mask).tolist()) - {0, UNLABELLED}
        for value in sorted(found - set(self.names)):
            raise InputError(f"{self.mask_path} holds value {value}, which has no name.")
        return mask

    def known(self, mask: NDArray[np.uint8]) -> tuple[ClassInfo, ...]:
        """Return the classes that cover at least 1 % of the mask, ids being mask values.

        Parameters
        ----------
        mask : ndarray
            ``(H, W)`` uint8, what `mask` returned.
        """
        counts = np.bincount(mask.ravel(), minlength=256)
        least = _KNOWN_SHARE * mask.size
        return tuple(
            ClassInfo(value, name, (name,), class_colour(value))
            for value, name in sorted(self.names.items())
            if counts[value] >= least
        )

    @staticmethod
    def asked(mask: NDArray[np.uint8], known: Sequence[ClassInfo]) -> NDArray[np.uint8]:
        """Return the mask with other classes than ``known`` as background; 255 is kept.

        Parameters
        ----------
        mask : ndarray
            ``(H, W)`` uint8.
        known : sequence of ClassInfo
            The classes to keep.
        """
        kept = np.isin(mask, [UNLABELLED, *(info.id for info in known)])
        return np.where(kept, mask, 0).astype(np.uint8)


@dataclass(frozen=True)
class EvaluationSet:
    """A folder of images and masks.

    Attributes
    ----------
    items : tuple of Item
        In order of their names.
    per_image : bool
        Whether each image has its own class names (``labels.json``); mask values of different
        images are then different classes.
    left_out : tuple of str
        Pictures that have no mask, by file name.
    """

    items: tuple[EvaluationItem, ...]
    per_image: bool
    left_out: tuple[str, ...] = ()

    @classmethod
    def open(cls, folder: str | Path, *, value_255: str | None = None) -> EvaluationSet:
        """Open ``images/``, ``masks/`` and ``classes.json`` or ``labels.json``.

        Parameters
        ----------
        folder : str or Path
            The set.
        value_255 : str, optional
            See `EvaluationItem`.

        Raises
        ------
        InputError
            If a part is missing or damaged.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise InputError(f"{folder_error(folder)}: check the name.")
        for part in ("images", "masks"):
            if not (folder / part).is_dir():
                raise InputError(
                    f"{folder} has no folder {part}: an evaluation set has images/, masks/ "
                    "and classes.json or labels.json."
                )
        common, own = folder / "classes.json", folder / "labels.json"
        if common.is_file() == own.is_file():
            raise InputError(f"{folder} must have one of classes.json and labels.json.")
        per_image = own.is_file()
        parsed = _read(own if per_image else common)
        shared = None if per_image else _names(parsed, common.name)
        files = sorted((folder / "masks").iterdir())
        masks = {path.stem: path for path in files if path.suffix.lower() == ".png"}
        items, left_out = [], []
        for path in _pictures(folder / "images"):
            if path.stem not in masks:
                left_out.append(path.name)
                continue
            if shared is None and path.stem not in parsed:
                raise InputError(f"labels.json does not name the classes of {path.stem}.")
            names = shared if shared is not None else _names(parsed[path.stem], own.name)
            items.append(
                EvaluationItem(path.stem, path, masks[path.stem], names, value_255=value_255)
            )
        if not items:
            raise InputError(f"{folder} has no image with a mask of the same name.")
        return cls(tuple(items), per_image, tuple(left_out))

    def without_classes(self) -> InputError:
        """Return the error to raise if no image has a known class, with the likely reason."""
        message = "No image of the set has a class that covers 1 % of its mask."
        values = [set(np.unique(item.mask()).tolist()) for item in self.items[:20]]
        if all(found <= {0, UNLABELLED} for found in values) and any(max(v) for v in values):
            message += (
                " The masks hold 0 and 255 alone, and 255 means unlabelled here: "
                "--value-255 class reads it as class 1."
            )
        return InputError(message)

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """All class names of the set, each once, in order of first mention."""
        return tuple(dict.fromkeys(n for item in self.items for n in item.names.values()))


def _pictures(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith("."):
            yield path


def _read(path: Path) -> dict[str, Any]:
    try:
        parsed = json.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as JSON ({error}).") from error
    if not isinstance(parsed, dict):
        raise InputError(f"{path} is not a JSON object.")
    return parsed


def _names(parsed: object, where: str) -> dict[int, str]:
    """Check a mapping such as ``{"1": "person"}``; return the names by mask value."""
    names: dict[int, str] = {}
    if not isinstance(parsed, dict):
        raise InputError(f'{where} does not map mask values to names, like {{"1": "person"}}.')
    for key, name in parsed.items():
        usable = key.isascii() and key.isdigit() and 0 <= int(key) <= MAX_CLASSES
        if not usable or not isinstance(name, str) or not name.strip():
            raise InputError(f"{where}: {key!r}: {name!r} is not a mask value and a name.")
        check_characters(" ".join(name.split()), f"{where}: {key}")
        if int(key) != 0:  # some sets name the background
            names[int(key)] = name
    if not names or len(set(names.values())) < len(names):
        raise InputError(f"{where} names no class, or two classes alike.")
    return names
