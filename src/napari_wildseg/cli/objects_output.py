"""The files of objects that `objects`, `segment` and `batch` write for an image."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wildseg.cli.console import print_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_wildseg.io import LabelImage
    from napari_wildseg.io.objects import ObjectImage


def object_paths(folder: Path, stem: str, suffix: str = "png") -> dict[str, Path]:
    """Return where the ids and the table of an image go."""
    return {"objects": folder / f"{stem}.objects.{suffix}", "table": folder / f"{stem}.objects.csv"}


def objects_in(
    labels: LabelImage,
    picture: NDArray[np.uint8] | None,
    names: Collection[str] | None = None,
    **options: Any,
) -> ObjectImage:
    """Split the labels of an image or a stack into objects.

    `picture`: ``(H, W, 3)`` uint8; of one plane only.
    """
    from napari_wildseg.engine.instances import split, split_stack, thing_ids
    from napari_wildseg.io.objects import ObjectImage

    things = thing_ids(names, labels.classes)
    if labels.stacked:
        return ObjectImage(split_stack(labels.labels, things, **options), labels)
    return ObjectImage(split(labels.labels, things, picture, **options), labels)


def write(paths: dict[str, Path], objects: ObjectImage, *, overwrite: bool) -> None:
    """Write ids and table."""
    from napari_wildseg.io.atomic import atomic_path
    from napari_wildseg.io.objects import table_csv, write_objects

    # The table is on disk before the ids appear: where there is no room, there is nothing.
    with atomic_path(paths["table"], overwrite=overwrite) as temporary:
        temporary.write_bytes(table_csv(objects))
        write_objects(paths["objects"], objects, overwrite=overwrite)


def summary(objects: ObjectImage, paths: dict[str, Path]) -> dict[str, Any]:
    """Return what --json prints: objects a class, and the files."""
    return {
        "objects": len(objects.class_of),
        "classes": [
            {"id": info.id, "name": info.name, "objects": count} for info, count in _counts(objects)
        ],
        "files": {key: str(path) for key, path in paths.items()},
    }


def print_objects(objects: ObjectImage, paths: dict[str, Path]) -> None:
    """Print how many objects each class has, and the files."""
    for info, count in _counts(objects):
        print_line(f"{info.name}: {count} {'object' if count == 1 else 'objects'}")
    for path in paths.values():
        print_line(str(path))


def _counts(objects: ObjectImage) -> list[tuple[Any, int]]:
    found = list(objects.class_of.values())
    return [(info, found.count(info.id)) for info in objects.labels.classes]
