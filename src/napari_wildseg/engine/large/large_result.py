"""`LargeResult`: labels and relevance of one large image."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import ClassInfo


@dataclass(frozen=True, eq=False)
class LargeResult:
    """Result of one segmentation of one large image.

    Attributes
    ----------
    labels : array
        ``(H, W)`` uint8: 0 background, else a class id. The array given as ``out``, or a NumPy
        array that a later run may modify: copy it to keep it.
    relevance : ndarray
        ``(K, gh, gw)`` float32 in [0, 1] on a coarse grid whose cells tile the image.
    classes : tuple of ClassInfo
        The K classes.
    model : str
        The model string.
    settings : dict
        The settings that reproduce the result.
    counts : ndarray
        ``(256,)`` int64: number of pixels of each label value.
    notices : tuple of str
        Messages for the annotator.
    seconds : dict of str to float
        Time spent on ``"encode"``, ``"relevance"`` and ``"refine"``, in seconds.
    tiles : int
        Number of tiles that this run computed.
    """

    labels: Any
    relevance: NDArray[np.float32]
    classes: tuple[ClassInfo, ...]
    model: str
    settings: dict[str, Any]
    counts: NDArray[np.int64]
    notices: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    tiles: int = 0
