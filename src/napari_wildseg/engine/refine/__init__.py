"""Single-image segmentation: seeds in, labels out; one module a refiner, chosen by name."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.checks import require
from napari_wildseg.engine.classes import UNLABELLED
from napari_wildseg.engine.corrections import checked_corrections
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.images.rgb import as_rgb
from napari_wildseg.engine.progress import Steps, drain

_REFINERS = {
    "default": "default:DefaultRefinement:DefaultOptions",
    "random_walker": "random_walker:RandomWalkerRefinement:RandomWalkerOptions",
    "grabcut": "grabcut:GrabCutRefinement:GrabCutOptions",
    "kim2020": "kim2020:KimRefinement:KimOptions",
}
"""Refiner name -> ``module:class:options`` in this package."""


class Refinement(Protocol):
    """The refinement of one image, kept between runs so that a rerun is quick.

    A refiner whose knowledge of the image serves other classes has
    ``with_classes(n_classes, relevance)``, which starts another refinement with it
    (`start_refinement`).
    """

    name: str

    def run_steps(
        self,
        seeds: NDArray[np.uint8] | None,
        corrections: NDArray[np.int16] | None,
        threshold: float | None,
    ) -> Steps[NDArray[np.uint8]]:
        """Refine.

        Parameters
        ----------
        seeds : ndarray
            ``(H, W)`` uint8 pseudo-labels: 0..K, 255 not sure.
        corrections : ndarray or None
            ``(H, W)`` int16: -1 not corrected, else 0..K; all of them, not only the new ones.
        threshold : float or None
            What the seeds were made with, in [0, 1], so that a refiner may go back to the
            relevance they came from; None where they are hand-made and to be taken as they are.

        Returns
        -------
        ndarray
            ``(H, W)`` uint8, 0..K, with every corrected pixel as corrected.
        """


def refiner_names() -> tuple[str, ...]:
    """Names of all refiners."""
    return tuple(_REFINERS)


def start_refinement(
    image: NDArray[np.uint8],
    n_classes: int,
    *,
    method: str = "default",
    features: Sequence[NDArray[np.float32]] = (),
    relevance: NDArray[np.float32] | None = None,
    like: Refinement | None = None,
    **options: Any,
) -> Refinement:
    """Prepare the refinement of one image.

    Parameters
    ----------
    image : ndarray
        ``(H, W, 3)`` uint8.
    n_classes : int
        K, background not counted.
    method : str
        One of `refiner_names`.
    features : sequence of ndarray
        The network's local features, each ``(C, h, w)`` float32.
    relevance : ndarray, optional
        ``(K, gh, gw)`` float32 in [0, 1].
    like : Refinement, optional
        One of the same image, features and options: what it knows of the image is used again,
        where the method is the same and has a ``with_classes``. The result is the same without it.
    **options
        Settings of the refiner, for example ``iterations=50`` of ``"kim2020"``.

    Raises
    ------
    InputError
        If there is no such refiner, or it has no such setting.
    """
    require(method, str, "refiner", "its name")
    if method not in _REFINERS:
        raise InputError(f'There is no refiner "{method}"; choose one of {", ".join(_REFINERS)}.')
    module_name, class_name, options_name = _REFINERS[method].split(":")
    module = import_module(f"{__name__}.{module_name}")
    try:
        settings = getattr(module, options_name)(**options)
    except TypeError as error:
        raise InputError(f'The refiner "{method}" has no such setting: {error}.') from None
    refinement: Refinement
    if like is not None and like.name == method and hasattr(like, "with_classes"):
        refinement = like.with_classes(n_classes, relevance)
    else:
        refinement = getattr(module, class_name)(image, n_classes, features, relevance, settings)
    return refinement


def refine(
    image: Any,
    pseudo_labels: Any,
    corrections: Any = None,
    *,
    method: str = "default",
    features: Sequence[NDArray[np.float32]] = (),
    **options: Any,
) -> NDArray[np.uint8]:
    """Refine pseudo-labels on one image: the single-image stage alone, on any seeds.

    Parameters
    ----------
    image : array_like
        ``(H, W)``, ``(H, W, 3)`` or ``(H, W, 4)``.
    pseudo_labels : array_like
        ``(H, W)`` integers: 0 background, 1..254 classes, 255 not sure.
    corrections : array_like, optional
        ``(H, W)`` integers: -1 not corrected, else the right label; always kept.
    method : str
        One of `refiner_names`.
    features : sequence of ndarray
        Local features of a network, each ``(C, h, w)`` float32, if there are any.
    **options
        Settings of the refiner, for example ``iterations=50`` of ``"kim2020"``.

    Returns
    -------
    ndarray
        ``(H, W)`` uint8 without 255.

    Raises
    ------
    InputError
        If shapes, types or values do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.zeros((32, 32), np.uint8); image[:, 16:] = 200
    >>> seeds = np.full((32, 32), 255); seeds[8, 4] = 0; seeds[8, 28] = 1
    >>> labels = refine(image, seeds)
    >>> int(labels[20, 2]), int(labels[20, 30])
    (0, 1)
    """
    rgb = as_rgb(image)
    seeds = np.asarray(pseudo_labels)
    if seeds.shape != rgb.shape[:2]:
        raise InputError(
            f"The pseudo-labels have shape {seeds.shape}, the image {rgb.shape[:2]}: "
            "they must be the same."
        )
    if seeds.dtype.kind not in "iu" or (seeds.size and (seeds.min() < 0 or seeds.max() > 255)):
        raise InputError("The pseudo-labels must be whole numbers from 0 to 255.")
    used = np.unique(seeds[seeds != UNLABELLED])
    fixed = None
    if corrections is not None:
        fixed = checked_corrections(corrections, rgb.shape[:2], range(1, UNLABELLED))
        used = np.union1d(used, fixed[fixed >= 0])
    if not used.size:
        raise InputError("Nothing is labelled: give at least one seed or correction.")
    n_classes = max(1, int(used.max()))
    refinement = start_refinement(rgb, n_classes, method=method, features=features, **options)
    return drain(refinement.run_steps(seeds.astype(np.uint8), fixed, None))
