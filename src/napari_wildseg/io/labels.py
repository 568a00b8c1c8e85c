"""`read_labels` and `write_labels`: the format is chosen by the file name's ending."""

from pathlib import Path
from typing import Any

from napari_wildseg.engine.checks import checked_path, require
from napari_wildseg.engine.classes import UNLABELLED
from napari_wildseg.engine.errors import InputError
from napari_wildseg.io.formats import FORMATS, Format
from napari_wildseg.io.label_image import LabelImage
from napari_wildseg.io.masks.unlabelled import fill_unlabelled


def format_of(path: str | Path, name: str | None = None) -> Format:
    """Find the format of a file.

    Parameters
    ----------
    path : str or Path
        The file; the format is chosen by its ending.
    name : str, optional
        Short name of a format; overrides the ending.

    Raises
    ------
    InputError
        If no format has that ending or name.
    """
    path = checked_path(path)
    for candidate in FORMATS:
        if candidate.name == name or (name is None and candidate.matches(path)):
            return candidate
    if name is not None:
        known = ", ".join(candidate.name for candidate in FORMATS)
        raise InputError(f'There is no format "{name}": choose from {known}.')
    endings = ", ".join(suffix for candidate in FORMATS for suffix in candidate.suffixes)
    raise InputError(f"{path.name} has no ending that names a label format ({endings}).")


def read_labels(
    path: str | Path,
    *,
    format: str | None = None,
    value_255: str | None = None,
    turn: bool = True,
    **options: Any,
) -> LabelImage:
    """Read a label file of any format.

    Parameters
    ----------
    path : str or Path
        The file.
    format : str, optional
        Short name of the format; by default chosen by the ending.
    value_255 : str, optional
        What 255 means in a mask of another program: ``"unlabelled"`` (the PASCAL VOC convention),
        or ``"class"``, to read it as class 1. A mask of 0 and 255 alone is refused without it;
        ``"guess"`` reads its 255 as class 1, with a notice.
    turn : bool
        Whether a mask is rotated upright by its EXIF or TIFF orientation, as pictures are.
    **options
        Options of the format's ``read``.

    Returns
    -------
    LabelImage
        With ``notices`` on what was left out.

    Raises
    ------
    InputError
        If the file is missing, damaged, too large, holds no labels, or is a mask of 0 and 255
        alone and ``value_255`` is not given.

    Examples
    --------
    >>> read_labels("missing.png")
    Traceback (most recent call last):
    ...
    napari_wildseg.engine.errors.InputError: There is no file missing.png: check the name.
    """
    chosen = format_of(path, format)
    if chosen.masks:
        options |= {"value_255": value_255, "turn": turn}
    elif value_255 not in (None, "guess"):
        raise InputError(f"{chosen.title} has no pixel of 255: leave out what 255 shall mean.")
    return chosen.read(Path(path), **options)


def write_labels(
    path: str | Path,
    labels: LabelImage,
    *,
    format: str | None = None,
    overwrite: bool = False,
    unlabelled: str = "keep",
    **options: Any,
) -> list[Path]:
    """Write a label file of any format, atomically.

    Parameters
    ----------
    path : str or Path
        The file.
    labels : LabelImage
        What to write.
    format : str, optional
        Short name of the format; by default chosen by the ending.
    overwrite : bool
        Whether existing files may be replaced.
    unlabelled : str
        What replaces 255: ``"keep"`` (nothing), ``"background"``, or ``"nearest"`` (the label of
        the nearest labelled pixel).
    **options
        Options of the format's ``write``.

    Returns
    -------
    list of Path
        Every file written.

    Raises
    ------
    InputError
        If a file exists already, or the format cannot hold the labels without loss.
    WildsegError
        If the folder cannot be written.
    """
    chosen = format_of(path, format)
    require(labels, LabelImage, "labels", "a LabelImage")
    labels = fill_unlabelled(labels, unlabelled)
    refuse_loss(labels, chosen)
    return chosen.write(Path(path), labels, overwrite=overwrite, **options)


def refuse_loss(labels: LabelImage, format: Format) -> None:
    """Raise `InputError` if a format cannot store the labels without loss."""
    if labels.stacked and not format.stacks:
        able = ", ".join(f.suffixes[0] for f in FORMATS if f.stacks)
        size = " x ".join(map(str, labels.labels.shape))
        raise InputError(
            f"{format.title} holds one plane, and these labels are a stack of {size}: "
            f"choose a plane, or a format for stacks ({able})."
        )
    if not format.unlabelled and (labels.labels == UNLABELLED).any():
        raise InputError(
            f"{format.title} cannot say that a pixel is unlabelled: choose whether such pixels "
            'become "background" or the "nearest" class.'
        )
