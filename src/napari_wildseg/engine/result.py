"""`Result`: what one run of the method gives, and what it says to the annotator."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import ClassInfo

if TYPE_CHECKING:
    from napari_wildseg.engine.instances import Objects


@dataclass(frozen=True, eq=False)
class Result:
    """What one run of the method gives for one image.

    Attributes
    ----------
    labels : ndarray
        ``(H, W)`` uint8: 0 background, else a class id.
    pseudo_labels : ndarray
        ``(H, W)`` uint8: as ``labels``, with 255 where the relevance maps are not sure.
    relevance : ndarray
        ``(K, H, W)`` float32 in [0, 1], one map a class.
    classes : tuple of ClassInfo
        The K classes.
    model : str
        The model string.
    settings : dict
        Threshold, views, method, refiner: what it takes to get the same result again.
    notices : tuple of str
        Sentences for the annotator, for example on classes that got no pixels.
    seconds : dict of str to float
        Time spent on ``"encode"``, ``"relevance"`` and ``"refine"``.
    stage_labels : dict of str to ndarray, optional
        ``(H, W)`` uint8 labels after each stage: ``"single view"``, ``"augmented"``, ``"refined"``.
    corrections : ndarray, optional
        ``(H, W)`` int16: the annotator's corrections that ``labels`` keeps, -1 where there are
        none; None if there were none at all.
    left_out : tuple of ClassInfo
        Classes that have no pixel since they were not found in the image (`engine.presence`); a
        lower threshold, or one corrected pixel of the class, brings them in.
    """

    labels: NDArray[np.uint8]
    pseudo_labels: NDArray[np.uint8]
    relevance: NDArray[np.float32]
    classes: tuple[ClassInfo, ...]
    model: str
    settings: dict[str, Any]
    notices: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    stage_labels: dict[str, NDArray[np.uint8]] | None = None
    corrections: NDArray[np.int16] | None = None
    left_out: tuple[ClassInfo, ...] = ()

    def save(
        self, path: str | Path, *, image: str = "", overwrite: bool = False, **options: Any
    ) -> list[Path]:
        """Write the labels to a file, whole or not at all; the ending chooses the format.

        Parameters
        ----------
        path : str or Path
            Where: ``.png``, ``.tif``, ``.ome.tif``, ``.npz``, ``.json`` (COCO), ``.txt`` (YOLO),
            ``.zarr``, or ``.wildseg``, a project, which also holds the pseudo-labels.
        image : str
            Name of the picture, for formats that tell it.
        overwrite : bool
            Whether existing files may be replaced.
        **options
            Further attributes of `napari_wildseg.io.LabelImage`, such as ``scale`` and
            ``units``, and options of the format, such as ``segmentation="polygon"``.

        Returns
        -------
        list of Path
            Every file written.

        Raises
        ------
        InputError
            If a file is there already, or no format has that ending.
        WildsegError
            If it cannot be written.

        Examples
        --------
        >>> from napari_wildseg import parse_classes
        >>> labels = np.eye(4, dtype=np.uint8)
        >>> maps = np.zeros((1, 4, 4), np.float32)
        >>> result = Result(labels, labels, maps, parse_classes("cat"), "starter", {})
        >>> [file.name for file in result.save("cat.tif", scale=(0.5, 0.5), units="micrometer")]
        ['cat.tif']
        """
        # The one place where the engine reaches up to the rooms above it, and only when it is
        # called: people look for `save` on what they want to save.
        from napari_wildseg.io.save_result import save_result

        return save_result(path, self, image=image, overwrite=overwrite, **options)

    def objects(
        self,
        image: NDArray[np.uint8] | None = None,
        *,
        things: Collection[str | int] | None = None,
        **options: Any,
    ) -> Objects:
        """Return the objects of the classes: every nucleus, every cat, with an id of its own.

        Parameters
        ----------
        image : ndarray, optional
            ``(H, W, 3)`` uint8, the image that was segmented; objects are then also split where
            it has edges. Without it the shape decides alone.
        things : collection of str or int, optional
            Names or ids of the classes that are split into objects; each other class is one
            object. By default all are split.
        **options
            ``min_size``, ``join_gap`` and more of `napari_wildseg.engine.instances.split`.

        Returns
        -------
        Objects
            ``ids``, ``(H, W)`` int32 with 0 for no object, and ``table``, a dict of columns
            (class, area, centroid, box, perimeter) with a row an object.

        Raises
        ------
        InputError
            If the image is of another size, or there is no such class.

        Examples
        --------
        >>> from napari_wildseg import parse_classes
        >>> labels = np.kron(np.eye(2, dtype=np.uint8), np.ones((3, 3), np.uint8))
        >>> maps = np.zeros((1, 6, 6), np.float32)
        >>> ids, table = Result(labels, labels, maps, parse_classes("cat"), "starter", {}).objects()
        >>> table["class"].tolist(), table["area"].tolist()
        (['cat', 'cat'], [9.0, 9.0])
        """
        from napari_wildseg.engine.instances import objects_of

        return objects_of(self.labels, self.classes, image, things=things, **options)


def notices_of(
    labels: NDArray[np.uint8],
    classes: Sequence[ClassInfo],
    left_out: Sequence[ClassInfo] = (),
) -> tuple[str, ...]:
    """Say which classes got nothing, and why.

    Parameters
    ----------
    labels : ndarray
        ``(H, W)`` uint8: 0 background, else class ids.
    classes : sequence of ClassInfo
        The classes.
    left_out : sequence of ClassInfo
        Those that were judged not to be in the image.

    Returns
    -------
    tuple of str
        One sentence for each class without a pixel.
    """
    counts = np.bincount(labels.ravel(), minlength=256)
    return tuple(
        absence_notice(info.name) if info in left_out else nothing_notice(info.name)
        for info in classes
        if counts[info.id] == 0
    )


def nothing_notice(name: str) -> str:
    """Say that a class got no pixels.

    Parameters
    ----------
    name : str
        The class's name.
    """
    return f'"{name}" got no pixels: it may not be in the image, or needs other words.'


def absence_notice(name: str) -> str:
    """Say that a class was left out, and how it comes back.

    Parameters
    ----------
    name : str
        The class's name.
    """
    return (
        f'"{name}" was not found in this image and was left out: '
        "lower the threshold, or paint one dab of it, to bring it in."
    )
