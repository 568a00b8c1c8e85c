"""Export of labels: which images and planes, what the files are called, and writing them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.folders import folder_error
from napari_wildseg.engine.progress import Progress, Steps
from napari_wildseg.gui.annotation.decisions import UNLABELLED, label_values, labels_in
from napari_wildseg.gui.annotation.session import LABELS, PSEUDO, ImageSession
from napari_wildseg.gui.annotation.tracked_layer import TrackedLayer
from napari_wildseg.gui.layer_files import place_in_file
from napari_wildseg.gui.layers.display import Plane, PlaneSource, capture, planes_like
from napari_wildseg.gui.layers.label_pair import place_of, read_plane
from napari_wildseg.gui.state import whole
from napari_wildseg.io import LabelImage

DATA_SETS = {"voc": "VOC data set (folder)", "coco-set": "COCO data set (folder)"}
OBJECTS = {
    "objects-png": ("Objects: 16-bit PNG and table", ".objects.png"),
    "objects-tif": ("Objects: 16-bit TIFF and table", ".objects.tif"),
    "objects-coco": ("Objects: COCO and table", ".objects.coco.json"),
    "objects-yolo": ("Objects: YOLO and table", ".objects.yolo.txt"),
    "objects-zarr": ("Objects: OME-Zarr and table", ".objects.zarr"),
    "objects-csv": ("Objects: table only", ".objects.csv"),
}
"""Formats of the layer of objects: title, and how the names of files end."""
OBJECTS_TABLE = ".objects.csv"
PATTERN = "{image}{plane}"
BESIDE = "{image}{plane}.labels"
"""Names of label files that look like pictures, in the folder of the pictures."""
COCO = ("coco", "coco-set")
INSTANCES = {"component": "one a region", "class": "one a class"}
MIN_INSTANCE = 20
"""Smallest instance that is offered first, in pixels: what is smaller is mostly a speck."""


@dataclass(frozen=True)
class Choice:
    """What the annotator chose in the dialog."""

    format: str  # short name of a label format, or a key of `DATA_SETS`
    folder: Path  # where to
    pattern: str = PATTERN  # file name without ending: ``{image}`` and ``{plane}`` are replaced
    all_images: bool = False  # every image that has labels, or the chosen one
    all_planes: bool = False  # of stacks, every plane that has labels, or the one in view
    unlabelled: str = "keep"  # see `napari_wildseg.io.write_labels`
    instances: str = "component"  # COCO: see `napari_wildseg.io.formats.coco.write`
    # COCO: regions of fewer pixels join the nearest instance of their class.
    min_size: int = MIN_INSTANCE


@dataclass(frozen=True, eq=False)
class Item:
    """One file, or one image of a data set, to write."""

    session: ImageSession  # whose labels
    planes: tuple[Plane, ...]  # the planes that are in it
    path: Path  # the file; of a data set, its folder with the image's name
    labels: LabelImage  # A copy
    source: PlaneSource | None = None  # the picture, for data sets
    # How often the label layers had been changed, if all that was done is in the file.
    edits: Mapping[TrackedLayer, int] = field(default_factory=dict)
    # Ids and the class of each, if objects are written and not labels.
    objects: tuple[NDArray[np.int32], Mapping[int, int]] | None = None

    def kept(self, plane: Plane) -> NDArray[np.int16] | None:
        """Return the corrections of a plane, None if the labels do not show all of them.

        Corrections of pseudo-labels show in the labels after Refine, and not before.
        """
        labels, corrections = self.labels.labels, self.labels.corrections
        if corrections is None:
            return None
        if labels.ndim > 2:
            labels, corrections = labels[plane.slices], corrections[plane.slices]
        shown = (corrections < 0) | (corrections == labels)
        return corrections if shown.all() else None


def suited_pattern(format: str, pattern: str, *, beside: bool) -> str:
    """Return the file name to begin with; one that the annotator typed stays."""
    from napari_wildseg.engine.pictures.picture_files import PICTURE_SUFFIXES

    if pattern not in (PATTERN, BESIDE):
        return pattern
    return BESIDE if beside and ending_of(format).endswith(PICTURE_SUFFIXES) else PATTERN


def has_labels(session: ImageSession) -> bool:
    """Whether there is anything to export of an image."""
    return any(True for _ in session.label_layers())


def plan(
    choice: Choice, sessions: Iterable[ImageSession], plane: Plane | None, others: Iterable[Any]
) -> list[Item]:
    """Return what has to be written; labels are copied, nothing is written yet."""
    others = list(others)
    items: list[Item] = []
    for session in sessions:
        if session.image is None or not has_labels(session):
            continue
        if choice.format in OBJECTS:
            items += _object_items(choice, session, plane)
        else:
            items += _items(choice, session, plane, others)
    if not items and choice.format in OBJECTS:
        raise InputError("There are no objects to export yet: press Split into objects first.")
    if not items:
        raise InputError("There is nothing to export yet: press Auto-segment first.")
    names = [item.path for item in items]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(
            f"Two labels would both be called {twice.name}: use {{image}} and {{plane}} in the "
            "file name."
        )
    return items


def _items(
    choice: Choice, session: ImageSession, plane: Plane | None, others: list[Any]
) -> list[Item]:
    from napari_wildseg.io import format_of

    image, layer = session.image, session.layer(LABELS) or session.layer(PSEUDO)
    assert image is not None
    assert layer is not None
    set_of_pictures = choice.format in DATA_SETS
    ending = ending_of(choice.format)
    stacked = layer.ndim > 2 and choice.all_planes
    if stacked and not set_of_pictures and format_of("", choice.format).stacks:
        labels = whole(session)
        check_rows(labels.labels, session, layer.name)
        path = choice.folder / (name_of(choice, session) + ending)
        return [Item(session, tuple(session.touched()), path, labels, edits=session.edits())]
    if plane is None or len(plane.index) != layer.ndim:
        plane = Plane((*[0] * (layer.ndim - 2), None, None))
    planes = [plane]
    if stacked:
        followed = set(session.touched())
        planes = [p for p in planes_like(image, plane) if p in followed]
    all_of_it = set(planes).issuperset(session.touched())
    return [
        Item(
            session,
            (each,),
            choice.folder / (name_of(choice, session, each) + ending),
            label_image(session, each),
            capture(image, each, others) if set_of_pictures else None,
            session.edits() if all_of_it else {},
        )
        for each in planes
    ]


def _object_items(choice: Choice, session: ImageSession, plane: Plane | None) -> list[Item]:
    """Return an item for each plane that was split, or one for the whole stack."""
    layer = session.objects.layer
    split = [p for p, state in session.objects.planes.items() if state.seen is not None]
    if layer is None or not split:
        return []
    ending = ending_of(choice.format)
    stacked = layer.ndim > 2 and choice.all_planes
    class_of = session.objects.classes()
    if stacked and choice.format in ("objects-tif", "objects-zarr", "objects-csv"):
        path = choice.folder / (name_of(choice, session) + ending)
        ids = np.array(layer.data, np.int32)
        return [Item(session, tuple(split), path, whole(session), objects=(ids, class_of))]
    return [
        Item(
            session,
            (each,),
            choice.folder / (name_of(choice, session, each) + ending),
            label_image(session, each),
            objects=(np.array(read_plane(layer, each), np.int32), class_of),
        )
        for each in (split if stacked else [p for p in split if layer.ndim == 2 or p == plane])
    ]


def ending_of(format: str) -> str:
    """Return how the names of files of a format end; those of a data set are its own matter."""
    from napari_wildseg.io import format_of

    if format in DATA_SETS:
        return ""
    if format in OBJECTS:
        return OBJECTS[format][1]
    if format == "coco":
        return ".coco.json"  # .json is the sidecar of the PNG that may lie there
    return format_of("", format).suffixes[0]


def files_of(format: str, path: Path) -> list[Path]:
    """Return the files that one label image, or its objects, are written to."""
    from napari_wildseg.io import format_of
    from napari_wildseg.io.formats.png import sidecar_of

    if format in OBJECTS:
        table = path.with_name(path.name.removesuffix(ending_of(format)) + OBJECTS_TABLE)
        beside = [sidecar_of(path)] if format in ("objects-png", "objects-yolo") else []
        return list(dict.fromkeys([path, *beside, table]))
    return format_of("", format).files(path)


def name_of(choice: Choice, session: ImageSession, plane: Plane | None = None) -> str:
    """Return a file name without ending."""
    image = session.image
    stem = re.sub(r"[^\w.-]+", "_", image.name if image is not None else "").strip("._") or "image"
    index = () if plane is None else plane.index
    number = "".join(f"_{i:04d}" for i in index if i is not None)
    name = choice.pattern.replace("{image}", stem).replace("{plane}", number).strip()
    if not name or name in (".", "..") or re.search(r'[\\/:*?"<>|{}\x00-\x1f]', name):
        raise InputError(
            f'"{choice.pattern}" cannot be a file name: letters, numbers, {{image}} and {{plane}} '
            "can be used."
        )
    return name


def label_image(session: ImageSession, plane: Plane) -> LabelImage:
    """Return the labels of a plane with all that is known about them; copied."""
    from napari_wildseg.io import LabelImage

    session.settle()
    layer = session.layer(LABELS) or session.layer(PSEUDO)
    image = session.image
    if layer is None or image is None:
        raise InputError("There is nothing to export yet: press Auto-segment first.")
    state = session.plane_state(plane)
    place: dict[str, Any] = place_in_file(place_of(image), layer.ndim)
    if layer.ndim > 2:
        # A file of one plane has no place along the other axes.
        inside = [axis for axis, i in enumerate(plane.index) if i is None]
        place["scale"] = tuple(place["scale"][axis] for axis in inside)
        place["translate"] = tuple(place["translate"][axis] for axis in inside)
        place["affine"] = None
    pixels = np.array(read_plane(layer, plane))
    check_rows(pixels, session, layer.name)
    return LabelImage.from_array(
        pixels,
        session.classes,
        image=image.name,
        model=state.model,
        settings=state.settings,
        corrections=session.corrections(plane),
        **place,
    )


def check_rows(pixels: NDArray[np.integer], session: ImageSession, name: str) -> None:
    """Refuse labels that belong to no class of the table."""
    strays = labels_in(label_values(pixels)) - {0, UNLABELLED, *session.ids}
    if strays:
        raise InputError(
            f"{name} holds label {min(strays)}, which belongs to no class of the table: add a "
            "class for it, or repaint it."
        )


def existing(choice: Choice, items: list[Item]) -> list[Path]:
    """Return the files that an export would replace."""
    files = []
    for item in items:
        if choice.format == "voc":
            base = choice.folder / "VOCdevkit" / "VOC2012"
            files.append(base / "SegmentationClass" / f"{item.path.name}.png")
        elif choice.format == "coco-set":
            files.append(choice.folder / "train" / f"{item.path.name}.png")
        else:
            files += files_of(choice.format, item.path)
    return [file for file in files if file.exists()]


def write_steps(choice: Choice, items: list[Item], *, overwrite: bool) -> Steps[list[Path]]:
    """Write what was planned, a file a step; what is written stays if a later one fails."""
    from napari_wildseg.engine.images.rgb import as_rgb
    from napari_wildseg.io import COCODataSet, VOCDataSet, write_labels
    from napari_wildseg.io.masks.unlabelled import fill_unlabelled

    if not choice.folder.is_dir():
        raise InputError(f"{folder_error(choice.folder)}: choose another.")
    written: list[Path] = []
    data_set: VOCDataSet | COCODataSet | None = None
    how: dict[str, Any] = {}
    if choice.format in COCO:
        how = {"instances": choice.instances, "min_size": choice.min_size}
    if choice.format in DATA_SETS:
        kind = VOCDataSet if choice.format == "voc" else COCODataSet
        data_set = kind(choice.folder, **how)
    for number, item in enumerate(items):
        yield Progress(number, len(items), f"Writing {item.path.name}")
        if item.objects is not None:
            written += _write_objects(choice.format, item, overwrite=overwrite)
        elif data_set is None:
            if choice.format == "coco":
                image = item.session.image
                path = None if image is None else image.source.path
                how["file_name"] = Path(path).name if path else item.labels.image
            written += write_labels(
                item.path,
                item.labels,
                format=choice.format,
                overwrite=overwrite,
                unlabelled=choice.unlabelled,
                **how,
            )
        else:
            assert item.source is not None
            labels = fill_unlabelled(item.labels, choice.unlabelled)
            picture = as_rgb(item.source.read())
            written += data_set.add(item.path.name, picture, labels, overwrite=overwrite)
    return written


def _write_objects(format: str, item: Item, *, overwrite: bool) -> list[Path]:
    """Write ids and table of one item."""
    from napari_wildseg.io.atomic import atomic_write
    from napari_wildseg.io.objects import ObjectImage, table_csv, write_objects

    assert item.objects is not None
    objects = ObjectImage(item.objects[0], item.labels, item.objects[1])
    if format == "objects-csv":
        return write_objects(item.path, objects, overwrite=overwrite)
    table = files_of(format, item.path)[-1]
    written = write_objects(item.path, objects, overwrite=overwrite)
    atomic_write(table, table_csv(objects), overwrite=overwrite)
    return [*written, table]
