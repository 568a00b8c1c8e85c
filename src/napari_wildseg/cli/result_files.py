"""The files that `segment` and `refine` write for an image: labels, sidecar and overlay."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wildseg.cli.console import format_table, print_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_wildseg.engine.classes import ClassInfo
    from napari_wildseg.io import LabelImage


def result_paths(folder: Path, stem: str) -> dict[str, Path]:
    """Return the output files of an image."""
    return {
        "labels": folder / f"{stem}.png",
        "sidecar": folder / f"{stem}.json",
        "overlay": folder / f"{stem}.overlay.png",
    }


def check_outputs(paths: dict[str, Path], inputs: Sequence[str | Path], *, overwrite: bool) -> None:
    """Raise `InputError` if an output would replace an input or an existing file."""
    from napari_wildseg.engine.errors import InputError
    from napari_wildseg.io.safety.owners import check_owner, refuse_inputs

    refuse_inputs(paths.values(), inputs, "choose another folder with --out")
    if "sidecar" in paths:
        check_owner(paths["sidecar"], paths["labels"])
    there = [] if overwrite else [path for path in paths.values() if path.exists()]
    if there:
        raise InputError(
            f"{there[0]} is already there: choose another folder with --out, "
            "or add --overwrite to replace it."
        )


def write_results(
    paths: dict[str, Path], rgb: NDArray[np.uint8], labels: LabelImage, *, overwrite: bool
) -> None:
    """Write labels, sidecar and overlay. `rgb`: ``(H, W, 3)`` uint8."""
    from napari_wildseg.io import write_labels
    from napari_wildseg.io.atomic import atomic_path
    from napari_wildseg.io.overlay import overlay_png

    picture = overlay_png(rgb, labels.labels, labels.classes)
    # The overlay is written first, so that a full disk leaves no labels behind.
    with atomic_path(paths["overlay"], overwrite=overwrite) as temporary:
        temporary.write_bytes(picture)
        write_labels(paths["labels"], labels, format="png", overwrite=overwrite)


def result_summary(labels: LabelImage, paths: dict[str, Path]) -> dict[str, Any]:
    """Return the object that ``--json`` prints for a result."""
    about = labels.about()
    return {
        "image": labels.image,
        "image_size": about["image_size"],
        "classes": class_summary(labels.classes, _count_pixels(labels), labels.labels.size),
        "model": labels.model,
        "settings": about["settings"],
        "files": {key: str(path) for key, path in paths.items()},
    }


def _count_pixels(labels: LabelImage) -> list[int]:
    """Return the number of pixels of each label value, ``(256,)``."""
    import numpy as np

    counts: list[int] = np.bincount(labels.labels.ravel(), minlength=256).tolist()
    return counts


def print_summary(labels: LabelImage, paths: dict[str, Path]) -> None:
    """Print the classes and files of a result."""
    print_classes(labels.classes, _count_pixels(labels), labels.labels.size, paths)


def class_summary(
    classes: Iterable[ClassInfo], counts: Sequence[int] | NDArray[np.int64], size: int
) -> list[dict[str, Any]]:
    """Return the objects that ``--json`` prints for classes; ``size`` is the number of pixels."""
    from napari_wildseg.io.label_image import classes_to_json

    pixels = [int(n) for n in counts]
    return [
        {**entry, "pixels": pixels[entry["id"]], "share": pixels[entry["id"]] / size}
        for entry in classes_to_json(classes)
    ]


def print_classes(
    classes: Iterable[ClassInfo],
    counts: Sequence[int] | NDArray[np.int64],
    size: int,
    paths: dict[str, Path],
) -> None:
    """Print a table of classes and the paths of the files."""
    rows = [[c.name, str(c.id), f"{100 * int(counts[c.id]) / size:.1f} %"] for c in classes]
    print_line(format_table(["class", "label", "share"], rows))
    print_line()
    print_line(f"labels:  {paths['labels']}")
    print_line(f"overlay: {paths['overlay']}")
