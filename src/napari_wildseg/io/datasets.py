"""Data sets that grow by one image at a time: what the layouts of VOC and COCO share."""

import io
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.checks import checked_path, require
from napari_wildseg.engine.classes import MAX_CLASSES, ClassInfo
from napari_wildseg.engine.errors import InputError
from napari_wildseg.io.atomic import atomic_files, current_path, plan_path, refuse_existing
from napari_wildseg.io.label_image import LabelImage
from napari_wildseg.io.safety.file_names import usable_name
from napari_wildseg.io.safety.locks import locked

SPLITS = ("train", "val", "test", "trainval")

BATCH_FOLDER = ".wildseg-batch"
"""Folder in the output of a batch that holds its journal."""


class DataSet(ABC):
    """A data set on disk.

    Parameters
    ----------
    folder : str or Path
        The root folder; created when the first image is added.

    Attributes
    ----------
    folder : Path
        The root folder.
    classes : tuple of ClassInfo
        Classes of all images. Classes are matched by name, and an id never changes.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = checked_path(folder, "folder")
        self.classes = self._read_classes()

    def add(
        self,
        stem: str,
        picture: NDArray[np.uint8],
        labels: LabelImage,
        *,
        split: str = "train",
        overwrite: bool = False,
    ) -> list[Path]:
        """Add one image; its files and the lists are written together or not at all.

        Several processes may add to one set. The folder is locked while an image is added, and
        classes that other processes added are read first.

        Parameters
        ----------
        stem : str
            Name of the image, without ending.
        picture : ndarray
            ``(H, W, 3)`` uint8.
        labels : LabelImage
            The labels of the image; classes are matched by name.
        split : str
            The list that the image is added to.
        overwrite : bool
            Whether an image of the same name may be replaced.

        Returns
        -------
        list of Path
            The files written.

        Raises
        ------
        InputError
            If the name, picture or labels cannot be used, an image of that name exists, the
            folder is the output of a batch, or another process keeps it locked.
        WildsegError
            If a file cannot be written.
        """
        _check(stem, picture, labels, split)
        files = self._files(stem, split)
        with _adding_to(self.folder):
            refuse_existing(files, overwrite=overwrite)
            contents, classes = self._contents(stem, picture, labels, split)
            _write(contents, self.folder)
            self.classes = classes
        return [*files, self._listing(split)]

    @abstractmethod
    def stems(self, split: str = "train") -> list[str]:
        """Return the names of the images on a list.

        Parameters
        ----------
        split : str
            The list.
        """

    @abstractmethod
    def read(self, stem: str, *, split: str = "train") -> LabelImage:
        """Read the labels of one image.

        Parameters
        ----------
        stem : str
            Name of the image.
        split : str
            The list that the image is on.
        """

    @abstractmethod
    def _files(self, stem: str, split: str) -> list[Path]:
        """Return the files of one image; the first is its picture."""

    @abstractmethod
    def _listing(self, split: str) -> Path:
        """Return the list of the images of a split."""

    @abstractmethod
    def _read_classes(self) -> tuple[ClassInfo, ...]:
        """Return the classes on disk."""

    @abstractmethod
    def _contents(
        self, stem: str, picture: NDArray[np.uint8], labels: LabelImage, split: str
    ) -> tuple[dict[Path, bytes], tuple[ClassInfo, ...]]:
        """Return all files that change with one more image, and the classes after it."""

    def _present(self, path: Path) -> Path:
        """Return where a file's content is, should a process have been killed while it wrote."""
        return current_path(path, _plan(self.folder))


def merge_classes(
    known: tuple[ClassInfo, ...], labels: LabelImage
) -> tuple[tuple[ClassInfo, ...], LabelImage]:
    """Map the classes of an image to those of a data set, by name.

    Parameters
    ----------
    known : tuple of ClassInfo
        Classes of the set; ids and colours do not change.
    labels : LabelImage
        The labels of the image. Names that the set lacks get the next free id.

    Returns
    -------
    classes : tuple of ClassInfo
        Classes of the set, with new ones added.
    labels : LabelImage
        The image's labels with the ids and classes of the set, without corrections.

    Raises
    ------
    InputError
        If the set would have more than 254 classes.
    """
    by_name = {info.name: info for info in known}
    table = np.arange(256, dtype=np.uint8)
    for info in labels.classes:
        if info.name not in by_name:
            number = max((c.id for c in by_name.values()), default=0) + 1
            if number > MAX_CLASSES:
                raise InputError(f"The data set would have more than {MAX_CLASSES} classes.")
            by_name[info.name] = replace(info, id=number)
        table[info.id] = by_name[info.name].id
    classes = tuple(by_name.values())
    return classes, replace(labels, labels=table[labels.labels], classes=classes, corrections=None)


@contextmanager
def _adding_to(folder: Path) -> Iterator[None]:
    """Lock a data set while an image is added."""
    if (folder / BATCH_FOLDER).is_dir():
        raise InputError(
            f"{folder} is the output of a batch, which keeps the lists of its images itself: "
            "choose another folder, or correct its images in Review."
        )
    with locked(folder / ".wildseg-lock", f"Another program is writing to {folder}"):
        yield


def _write(files: Mapping[Path, bytes], folder: Path) -> None:
    """Replace files of a data set together."""
    with atomic_files(list(files), overwrite=True, plan=_plan(folder)) as temporaries:
        for temporary, data in zip(temporaries, files.values(), strict=True):
            temporary.write_bytes(data)


def _plan(folder: Path) -> Path:
    return plan_path(folder / "data set")


def check_name(stem: str) -> None:
    """Raise `InputError` if a file cannot be called so."""
    if not usable_name(stem):
        raise InputError(f"{stem!r} cannot be a file's name: call the image otherwise.")


def _check(stem: str, picture: NDArray[np.uint8], labels: LabelImage, split: str) -> None:
    require(labels, LabelImage, "labels", "a LabelImage")
    require(picture, np.ndarray, "picture", "an array")
    require(split, str, "split", "its name")
    if split not in SPLITS:
        raise InputError(f'A split is one of {", ".join(SPLITS)}, not "{split}".')
    check_name(stem)
    if picture.shape != (*labels.labels.shape, 3) or picture.dtype != np.uint8:
        raise InputError(
            f"The picture of {stem} is {picture.shape} {picture.dtype}; "
            f"(H, W, 3) uint8 of the labels' size is wanted."
        )


def jpeg_bytes(picture: NDArray[np.uint8]) -> bytes:
    """Encode a picture as JPEG of quality 95.

    Parameters
    ----------
    picture : ndarray
        ``(H, W, 3)`` uint8.
    """
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


def png_bytes(picture: NDArray[np.uint8]) -> bytes:
    """Encode a picture as PNG.

    Parameters
    ----------
    picture : ndarray
        ``(H, W, 3)`` uint8.
    """
    from PIL import Image

    buffer = io.BytesIO()
    # For photographs, level 3 gives the size of level 6 in half the time.
    Image.fromarray(picture).save(buffer, format="PNG", compress_level=3)
    return buffer.getvalue()
