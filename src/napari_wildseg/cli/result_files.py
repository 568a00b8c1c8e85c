"""The three files that `segment` and `refine` write for an image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wildseg.cli.console import say, table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_wildseg.engine.classes import ClassInfo
    from napari_wildseg.io import LabelImage


def result_paths(folder: Path, stem: str) -> dict[str, Path]:
    """Return where the files of an image go.

    Parameters
    ----------
    folder : Path
        The output folder.
    stem : str
        Name of the image.
    """
    return {
        "labels": folder / f"{stem}.png",
        "sidecar": folder / f"{stem}.json",
        "overlay": folder / f"{stem}.overlay.png",
    }


def refuse(paths: dict[str, Path], inputs: Sequence[str | Path], *, overwrite: bool) -> None:
    """Raise `InputError` before any work if a file is in the way.

    Parameters
    ----------
    paths : dict
        What `result_paths` returned.
    inputs : sequence of str or Path
        Files that are read; they are not replaced whatever ``overwrite`` says.
    overwrite : bool
        Whether existing files may be replaced.
    """
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
    """Write labels, sidecar and overlay.

    Parameters
    ----------
    paths : dict
        What `result_paths` returned.
    rgb : ndarray
        ``(H, W, 3)`` uint8.
    labels : LabelImage
        The result.
    overwrite : bool
        Whether existing files may be replaced.
    """
    from napari_wildseg.io import write_labels
    from napari_wildseg.io.atomic import atomic_path
    from napari_wildseg.io.overlay import overlay_png

    picture = overlay_png(rgb, labels.labels, labels.classes)
    # The overlay is on disk before the labels appear: where there is no room, there is nothing.
    with atomic_path(paths["overlay"], overwrite=overwrite) as temporary:
        temporary.write_bytes(picture)
        write_labels(paths["labels"], labels, format="png", overwrite=overwrite)


def summary(labels: LabelImage, paths: dict[str, Path]) -> dict[str, Any]:
    """Return what --json prints about a result.

    Parameters
    ----------
    labels : LabelImage
        The result.
    paths : dict
        What `result_paths` returned.
    """
    about = labels.about()
    return {
        "image": labels.image,
        "image_size": about["image_size"],
        "classes": class_summary(labels.classes, count_pixels(labels), labels.labels.size),
        "model": labels.model,
        "settings": about["settings"],
        "files": {key: str(path) for key, path in paths.items()},
    }


def count_pixels(labels: LabelImage) -> list[int]:
    """Return how many pixels each of the values 0 to 255 has.

    Parameters
    ----------
    labels : LabelImage
        The result.
    """
    import numpy as np

    counts: list[int] = np.bincount(labels.labels.ravel(), minlength=256).tolist()
    return counts


def print_summary(labels: LabelImage, paths: dict[str, Path]) -> None:
    """Print a table of the classes and where the files are.

    Parameters
    ----------
    labels : LabelImage
        The result.
    paths : dict
        What `result_paths` returned.
    """
    print_classes(labels.classes, count_pixels(labels), labels.labels.size, paths)


def class_summary(
    classes: Iterable[ClassInfo], counts: Sequence[int] | NDArray[np.int64], size: int
) -> list[dict[str, Any]]:
    """Return what --json prints about classes.

    Parameters
    ----------
    classes : iterable of ClassInfo
        The classes.
    counts : sequence of int
        Pixels of each of the values 0 to 255.
    size : int
        Pixels of the image.
    """
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
    """Print a table of classes and where the files are.

    Parameters
    ----------
    classes, counts, size
        As for `class_summary`.
    paths : dict
        What `result_paths` returned.
    """
    rows = [[c.name, str(c.id), f"{100 * int(counts[c.id]) / size:.1f} %"] for c in classes]
    say(table(["class", "label", "share"], rows))
    say()
    say(f"labels:  {paths['labels']}")
    say(f"overlay: {paths['overlay']}")
