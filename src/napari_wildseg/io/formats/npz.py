"""NPZ: label and correction arrays for `numpy.load` and a JSON description; no pickle."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from napari_wildseg.engine.errors import InputError
from napari_wildseg.io.description import labels_with_description
from napari_wildseg.io.formats.label_format import Format
from napari_wildseg.io.label_image import LabelImage
from napari_wildseg.io.masks.foreign import foreign_labels, refuse_value_255
from napari_wildseg.io.safety.archive import ArraySpec, checked_corrections_of, read_npz, write_npz


def write(path: Path, labels: LabelImage, *, overwrite: bool = False) -> list[Path]:
    """Write ``labels`` and, if there are any, ``corrections``."""
    arrays: dict[str, NDArray[Any]] = {"labels": labels.labels}
    if labels.corrections is not None:
        arrays["corrections"] = labels.corrections
    write_npz(path, arrays, labels.about(corrections=False), overwrite=overwrite)
    return [path]


def read(path: Path, *, value_255: str | None = None, turn: bool = True) -> LabelImage:
    """Read an NPZ written by this package, or any NPZ with an array called ``labels``."""
    spec = {"labels": ArraySpec("bui", (2, 4)), "corrections": ArraySpec("i", (2, 4))}
    arrays, about = read_npz(path, spec)
    if "labels" not in arrays:
        raise InputError(f'{path.name} holds no array called "labels".')
    values = arrays["labels"]
    corrections = checked_corrections_of(arrays, path.name)
    if about is None:
        return foreign_labels(values, where=path.name, value_255=value_255, corrections=corrections)
    refuse_value_255(value_255, path.name)
    return labels_with_description(values, about, path.name, corrections=corrections)


NPZ_FORMAT = Format("npz", "NumPy archive", (".npz",), read, write, stacks=True, masks=True)
