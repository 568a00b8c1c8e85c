"""Simulated strokes of a person: a noisy line that crosses the edge of the wrong region.

Deterministic: the random generator is seeded with the true mask and the number of the stroke.
"""

import zlib

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import UNLABELLED

_MEAN_SHARE = 0.15
"""Mean share of a stroke's pixels in other classes; uniform between 0 and twice this value."""

_SLIP_PERIOD = 10
"""One stroke in this many is a slip, painted mostly beside the wrong region."""

_SLIP_SHARE = 0.7
"""Share of a slip's pixels in other classes."""

_WOBBLE = 0.35
"""Standard deviation of the line's distance from the path, in units of the brush radius."""


def is_slip(truth: NDArray[np.uint8], number: int) -> bool:
    """Tell whether a stroke is a slip: every tenth is, from a stroke on that the mask decides.

    `truth`: ``(H, W)`` uint8.
    """
    return (_seed_of(truth) + number) % _SLIP_PERIOD == 0


def draw_stroke(
    truth: NDArray[np.uint8], value: int, path: NDArray[np.int64], number: int, radius: int
) -> NDArray[np.bool_]:
    """Draw a stroke as a person would.

    `truth`: ``(H, W)`` uint8, 255 ignored; `path`: ``(n, 2)`` int64, pixels along the mistake from
    one end to the other; returns ``(H, W)`` bool, the painted pixels.

    Notes
    -----
    The line wobbles about the path. At both ends it runs on towards the nearest pixel of another
    class, until the stroke's share of other classes is reached. What exceeds that share is left
    out, the pixels farthest from the stroke's right part first. A slip is shifted sideways instead.
    """
    random = np.random.default_rng([_seed_of(truth), number])
    line = _add_tremor(path.astype(float), random, radius)
    share = float(random.uniform(0, 2 * _MEAN_SHARE))
    own: NDArray[np.bool_] = truth == value
    other = ~own & (truth != UNLABELLED)
    brush = _Brush(truth.shape, radius)
    if not other.any():
        return brush.paint(line) & own
    if is_slip(truth, number):
        painted = _shifted(line, own, other, brush)
        share = max(share, _SLIP_SHARE)
    else:
        painted = _run_over(line, own, other, share, brush)
    right: NDArray[np.bool_] = painted & own
    wanted = round(share / (1 - share) * int(right.sum()))
    return right | _nearest(painted & other, right, wanted)


def correct_slip(
    truth: NDArray[np.uint8], label: int, painted: NDArray[np.bool_]
) -> tuple[int, NDArray[np.bool_]] | None:
    """Choose what is painted after a slip: the class under most of it, over all that is of it.

    `truth`: ``(H, W)`` uint8, 255 ignored; `painted`: ``(H, W)`` bool, the slip's pixels.
    """
    wrong = painted & (truth != label) & (truth != UNLABELLED)
    if not wrong.any():
        return None
    value = int(np.bincount(truth[wrong]).argmax())
    return value, wrong & (truth == value)


def _seed_of(truth: NDArray[np.uint8]) -> int:
    return zlib.crc32(np.ascontiguousarray(truth).tobytes())


def _add_tremor(
    path: NDArray[np.float64], random: np.random.Generator, radius: int
) -> NDArray[np.float64]:
    """Add smooth noise to a path across its direction, at most half a radius."""
    from scipy.ndimage import gaussian_filter1d

    noise = random.standard_normal(len(path))
    if len(path) < 2:
        return path
    # Smoothing divides the standard deviation by the root of 2 sqrt(pi) sigma.
    scale = _WOBBLE * radius * np.sqrt(2 * np.sqrt(np.pi) * radius)
    aside = np.clip(scale * gaussian_filter1d(noise, radius), -radius / 2, radius / 2)
    along = np.gradient(gaussian_filter1d(path, radius / 2, axis=0, mode="nearest"), axis=0)
    along /= np.maximum(np.hypot(*along.T), 1e-9)[:, None]
    return np.asarray(path + aside[:, None] * along[:, ::-1] * [1, -1])


class _Brush:
    """Paints discs into masks of one shape."""

    def __init__(self, shape: tuple[int, ...], radius: int) -> None:
        self.shape = shape
        rows, columns = np.mgrid[-radius : radius + 1, -radius : radius + 1]
        self._disc = np.argwhere(rows**2 + columns**2 <= radius**2) - radius

    def paint(
        self, points: NDArray[np.float64], mask: NDArray[np.bool_] | None = None
    ) -> NDArray[np.bool_]:
        """Add discs around points to a mask in place; by default to an empty one."""
        if mask is None:
            mask = np.zeros(self.shape, bool)
        pixels = (np.rint(points).astype(int)[:, None] + self._disc).reshape(-1, 2)
        inside = ((pixels >= 0) & (pixels < self.shape)).all(1)
        mask[tuple(pixels[inside].T)] = True
        return mask


def _run_over(
    line: NDArray[np.float64],
    own: NDArray[np.bool_],
    other: NDArray[np.bool_],
    share: float,
    brush: _Brush,
) -> NDArray[np.bool_]:
    """Draw a line and extend both ends until a share of its pixels is in other classes."""
    painted = brush.paint(line)
    ends = [line[0], line[-1]]
    steps = [_direction(end, other) for end in ends]
    for _ in range(max(own.shape)):
        outside = int((painted & other).sum())
        if outside >= share * (outside + int((painted & own).sum())):
            break
        ends = [end + step for end, step in zip(ends, steps, strict=True)]
        brush.paint(np.array(ends), painted)
    return painted


def _shifted(
    line: NDArray[np.float64], own: NDArray[np.bool_], other: NDArray[np.bool_], brush: _Brush
) -> NDArray[np.bool_]:
    """Shift a line towards the nearest pixel of another class until most of it lies there."""
    step = _direction(line[len(line) // 2], other)
    best, best_share = brush.paint(line), 0.0
    for distance in range(max(own.shape)):
        painted = brush.paint(line + distance * step)
        right, wrong = int((painted & own).sum()), int((painted & other).sum())
        if wrong and wrong / (right + wrong) > best_share:
            best, best_share = painted, wrong / (right + wrong)
        if best_share >= _SLIP_SHARE or not (right or wrong):
            break
    return best


def _direction(point: NDArray[np.float64], other: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the unit vector from a point to the nearest pixel of a mask that is not empty."""
    away = np.argwhere(other) - point
    nearest = away[int(np.square(away).sum(1).argmin())]
    return np.asarray(nearest / max(float(np.hypot(*nearest)), 1e-9))


def _nearest(pixels: NDArray[np.bool_], to: NDArray[np.bool_], count: int) -> NDArray[np.bool_]:
    """Keep the ``count`` pixels of a mask that are nearest to another mask."""
    from scipy import ndimage

    places = np.flatnonzero(pixels)
    if len(places) > count:
        away = ndimage.distance_transform_edt(~to).ravel()[places]
        places = places[np.argsort(away, kind="stable")[:count]]
    kept = np.zeros(pixels.size, bool)
    kept[places] = True
    return kept.reshape(pixels.shape)
