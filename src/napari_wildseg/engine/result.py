"""`Result`: labels, relevance maps and notices of one segmentation."""

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
    """Result of one segmentation of one image.

    Attributes
    ----------
    labels : ndarray
        ``(H, W)`` uint8: 0 background, else a class id.
    pseudo_labels : ndarray
        ``(H, W)`` uint8: as ``labels``, with 255 where the relevance maps are undecided.
    relevance : ndarray
        ``(K, H, W)`` float32 in [0, 1], one relevance map per class.
    classes : tuple of ClassInfo
        The K classes.
    model : str
        The model string.
    settings : dict
        Threshold, views, method and refiner: the settings that reproduce the result.
    notices : tuple of str
        Messages for the annotator, for example about classes without pixels.
    seconds : dict of str to float
        Time spent on ``"encode"``, ``"relevance"`` and ``"refine"``, in seconds.
    stage_labels : dict of str to ndarray, optional
        ``(H, W)`` uint8 labels after each stage: ``"single view"``, ``"augmented"``, ``"refined"``.
    corrections : ndarray, optional
        ``(H, W)`` int16: the annotator's corrections, which ``labels`` contains; -1 where not
        corrected. None if nothing was corrected.
    left_out : tuple of ClassInfo
        Classes without pixels because the model did not find them in the image. A lower threshold
        or one corrected pixel of the class includes it again.
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
        """Write the labels to a file atomically; the suffix selects the format.

        Parameters
        ----------
        path : str or Path
            Output path with the suffix ``.png``, ``.tif``, ``.ome.tif``, ``.npz``, ``.json``
            (COCO), ``.txt`` (YOLO), ``.zarr``, or ``.wildseg`` (a project, which also holds the
            pseudo-labels).
        image : str
            Name of the image, for formats that store it.
        overwrite : bool
            Whether existing files may be replaced.
        **options
            Further attributes of `napari_wildseg.io.LabelImage`, such as ``scale`` and
            ``units``, and options of the format, such as ``segmentation="polygon"``.

        Returns
        -------
        list of Path
            The files written.

        Raises
        ------
        InputError
            If the file exists already, or if no format has this suffix.
        WildsegError
            If the file cannot be written.

        Examples
        --------
        >>> from napari_wildseg import parse_classes
        >>> labels = np.eye(4, dtype=np.uint8)
        >>> maps = np.zeros((1, 4, 4), np.float32)
        >>> result = Result(labels, labels, maps, parse_classes("cat"), "starter", {})
        >>> [file.name for file in result.save("cat.tif", scale=(0.5, 0.5), units="micrometer")]
        ['cat.tif']
        """
        # Imported here because `io` imports the engine.
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
    labels: NDArray[np.uint8], classes: Sequence[ClassInfo], left_out: Sequence[ClassInfo] = ()
) -> tuple[str, ...]:
    """Return one notice for each class without a pixel.

    `labels`: ``(H, W)`` uint8; `left_out`: the classes that were not found in the image.
    """
    counts = np.bincount(labels.ravel(), minlength=256)
    return tuple(
        _absence_notice(info.name) if info in left_out else no_pixels_notice(info.name)
        for info in classes
        if counts[info.id] == 0
    )


def no_pixels_notice(name: str) -> str:
    """Return the notice for a class that got no pixels."""
    return f'"{name}" got no pixels: it may not be in the image, or needs other words.'


def _absence_notice(name: str) -> str:
    """Return the notice for a class that was left out because it was not found in the image."""
    return (
        f'"{name}" was not found in this image and was left out: '
        "lower the threshold, or paint one dab of it, to bring it in."
    )
