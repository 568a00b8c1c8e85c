"""Metrics of label images: IoU over a set and per image, and boundary F-score."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import UNLABELLED


class Confusion:
    """Pixel counts per class, summed over images, from which IoU is computed.

    Pixels whose true label is 255 do not count.

    Attributes
    ----------
    intersection, true, predicted : ndarray
        ``(256,)`` int64, pixels per class: correctly predicted, in the mask, predicted.
    """

    def __init__(self) -> None:
        self.intersection = np.zeros(256, np.int64)
        self.true = np.zeros(256, np.int64)
        self.predicted = np.zeros(256, np.int64)

    def add(self, truth: NDArray[np.uint8], labels: NDArray[np.uint8]) -> None:
        """Count one image.

        Parameters
        ----------
        truth, labels : ndarray
            ``(H, W)`` uint8: the mask and the prediction.

        Raises
        ------
        ValueError
            If the shapes differ.
        """
        if truth.shape != labels.shape:
            raise ValueError(f"truth is {truth.shape}, labels are {labels.shape}")
        valid = truth != UNLABELLED
        true, found = truth[valid], labels[valid]
        self.intersection += np.bincount(true[true == found], minlength=256)
        self.true += np.bincount(true, minlength=256)
        self.predicted += np.bincount(found, minlength=256)

    def iou(self) -> dict[int, float]:
        """Return the IoU of every class that occurs in a mask, background included."""
        union = self.true + self.predicted - self.intersection
        return {
            int(value): float(self.intersection[value] / union[value])
            for value in np.flatnonzero(self.true)
        }

    def miou(self, classes: Collection[int] | None = None) -> float:
        """Return the mean IoU over the classes that occur in a mask; NaN if there is none.

        Parameters
        ----------
        classes : collection of int, optional
            Classes to include; by default all.
        """
        found = [v for k, v in self.iou().items() if classes is None or k in classes]
        return float(np.mean(found)) if found else float("nan")


def image_ious(
    truth: NDArray[np.uint8], labels: NDArray[np.uint8], classes: list[int]
) -> dict[int, float]:
    """Return the IoU of given classes in one image.

    Parameters
    ----------
    truth, labels : ndarray
        ``(H, W)`` uint8; pixels with truth 255 are ignored.
    classes : list of int
        Label values. A class that neither occurs nor is predicted has IoU 1.
    """
    confusion = Confusion()
    confusion.add(truth, labels)
    union = confusion.true + confusion.predicted - confusion.intersection
    return {c: float(confusion.intersection[c] / union[c]) if union[c] else 1.0 for c in classes}


def mean_iou(truth: NDArray[np.uint8], labels: NDArray[np.uint8], classes: list[int]) -> float:
    """Return the mean of `image_ious` over the classes.

    Parameters
    ----------
    truth, labels, classes
        As for `image_ious`; at least one class.
    """
    return float(np.mean(list(image_ious(truth, labels, classes).values())))


def boundary_f(
    truth: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    classes: list[int],
    *,
    tolerance: float = 2.0,
) -> float:
    """Return the mean boundary F-score over classes, at a tolerance in pixels.

    Parameters
    ----------
    truth, labels : ndarray
        ``(H, W)`` uint8. Boundary pixels with truth 255 are ignored.
    classes : list of int
        Label values to average over.
    tolerance : float
        Largest distance at which a boundary pixel counts as found.

    Returns
    -------
    float
        In [0, 1]; NaN without classes.

    Notes
    -----
    A boundary pixel of a class has a 4-neighbour inside the image that is not of the class.
    Precision is the share of the predicted boundary within the tolerance of the true one. Recall is
    the share of the true boundary within the tolerance of the predicted one. F is their harmonic
    mean: 1 if neither has a boundary, 0 if only one has.

    References
    ----------
    Csurka et al., *What is a good evaluation measure for semantic segmentation?*, BMVC 2013.
    """
    valid = truth != UNLABELLED
    scores = []
    for value in classes:
        # An ignored pixel makes no boundary.
        true = boundary((truth == value), valid)
        found = boundary((labels == value), valid)
        if not true.any() or not found.any():
            scores.append(1.0 if true.any() == found.any() else 0.0)
            continue
        precision = float((_distance(true)[found] <= tolerance).mean())
        recall = float((_distance(found)[true] <= tolerance).mean())
        both = precision + recall
        scores.append(2 * precision * recall / both if both else 0.0)
    return float(np.mean(scores)) if scores else float("nan")


def boundary(region: NDArray[np.bool_], valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels of a region that have a valid 4-neighbour outside it."""
    outside = np.pad(~region & valid, 1)
    beside = outside[:-2, 1:-1] | outside[2:, 1:-1] | outside[1:-1, :-2] | outside[1:-1, 2:]
    return np.asarray(region & valid & beside)


def _distance(points: NDArray[np.bool_]) -> NDArray[np.float64]:
    from scipy import ndimage

    return np.asarray(ndimage.distance_transform_edt(~points), dtype=np.float64)
