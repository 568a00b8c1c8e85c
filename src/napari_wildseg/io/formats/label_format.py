"""`Format`: the interface of a label file format."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from napari_wildseg.io.label_image import LabelImage


@dataclass(frozen=True)
class Format:
    """One label file format.

    Attributes
    ----------
    name : str
        Short name, as in ``--format``.
    title : str
        For menus and messages.
    suffixes : tuple of str
        File name endings, lower case; the first is written by default.
    read : callable
        ``(path, **options) -> LabelImage``; raises `InputError`.
    write : callable
        ``(path, labels, *, overwrite, **options) -> list of Path`` written, all atomically.
    stacks : bool
        Whether a file can hold a stack of planes.
    unlabelled : bool
        Whether a file can mark a pixel as unlabelled.
    masks : bool
        Whether files of other programs are masks, one value per pixel. ``read`` then takes
        ``value_255`` and ``turn`` (see `napari_wildseg.io.read_labels`).
    sidecar : bool
        Whether a JSON sidecar of the same name is written beside the file.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    read: Callable[..., LabelImage]
    write: Callable[..., list[Path]]
    stacks: bool = False
    unlabelled: bool = True
    masks: bool = False
    sidecar: bool = False

    def files(self, path: Path) -> list[Path]:
        """Return the files that labels are written to.

        Parameters
        ----------
        path : Path
            The label file.
        """
        return [path, path.with_suffix(".json")] if self.sidecar else [path]

    def matches(self, path: Path) -> bool:
        """Whether the file name has an ending of this format."""
        if path.name.lower().endswith(self.suffixes):
            return True
        # A label image inside an OME-Zarr is a folder without an ending.
        inside = any(parent.name.lower().endswith(self.suffixes) for parent in path.parents)
        return inside and path.is_dir()
