"""Pictures of coloured shapes with their names: the data of the tiny CLIP model.

Drawn with NumPy from a seed, so that training, tests and tables see the same pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIDE = 64
COLOURS = {
    "red": (215, 40, 40),
    "green": (40, 170, 60),
    "blue": (50, 80, 220),
    "yellow": (235, 215, 50),
    "purple": (150, 50, 180),
    "cyan": (60, 205, 215),
}
SHAPES = ("circle", "square", "triangle", "cross")
HELD_OUT = {
    ("red", "square"),
    ("green", "circle"),
    ("blue", "triangle"),
    ("yellow", "cross"),
}
"""Combinations that never occur in training, neither in a picture nor in a caption."""
WORDS = (*COLOURS, *SHAPES)


@dataclass(frozen=True)
class Scene:
    """A picture and what is in it.

    Attributes
    ----------
    image : ndarray
        ``(SIDE, SIDE, 3)`` uint8.
    things : tuple of (str, str)
        Colour and shape of each thing.
    masks : ndarray
        ``(len(things), SIDE, SIDE)`` bool.
    """

    image: NDArray[np.uint8]
    things: tuple[tuple[str, str], ...]
    masks: NDArray[np.bool_]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{colour} {shape}" for colour, shape in self.things)


def shape_mask(shape: str, y: float, x: float, radius: float, side: int) -> NDArray[np.bool_]:
    """Pixels of one shape."""
    rows, columns = np.mgrid[:side, :side]
    v, u = (rows - y) / radius, (columns - x) / radius
    if shape == "circle":
        return np.hypot(u, v) <= 1
    if shape == "square":
        return np.maximum(abs(u), abs(v)) <= 0.85
    if shape == "cross":
        return (np.maximum(abs(u), abs(v)) <= 1) & (np.minimum(abs(u), abs(v)) <= 0.33)
    return (v <= 0.8) & (v >= 2.0 * abs(u) - 1)


def draw_scene(
    rng: np.random.Generator, *, held_out: bool, most: int = 2, side: int = SIDE
) -> Scene:
    """Draw one to ``most`` things that do not touch, on an uneven grey ground.

    With ``held_out``, the first thing is of a held-out combination; the others never are.
    """
    rows, columns = np.mgrid[:side, :side] / side - 0.5
    slope = rng.uniform(-60, 60, 2)
    ground = rng.uniform(40, 210) + slope[0] * rows + slope[1] * columns
    image = ground[..., None] + rng.normal(0, rng.uniform(2, 8), (side, side, 1))
    image = np.repeat(image, 3, 2) + rng.normal(0, 4, (side, side, 3))
    combinations = [(c, s) for c in COLOURS for s in SHAPES]
    rare = sorted(HELD_OUT)
    common = [pair for pair in combinations if pair not in HELD_OUT]
    things: list[tuple[str, str]] = []
    places: list[tuple[float, float, float]] = []
    masks = []
    wanted = int(rng.integers(1, most + 1))
    for _ in range(40):
        if len(things) == wanted:
            break
        radius = rng.uniform(0.19, 0.27) * side
        y, x = rng.uniform(radius, side - radius, 2)
        if any(np.hypot(y - v, x - u) < radius + r + 2 for v, u, r in places):
            continue
        pool = rare if held_out and not things else common
        thing = pool[int(rng.integers(len(pool)))]
        if thing in things:
            continue
        mask = shape_mask(thing[1], y, x, radius, side)
        colour = np.array(COLOURS[thing[0]]) + rng.normal(0, 12, 3)
        image[mask] = colour + rng.normal(0, 6, (int(mask.sum()), 3))
        things.append(thing)
        places.append((y, x, radius))
        masks.append(mask)
    return Scene(np.clip(image, 0, 255).astype(np.uint8), tuple(things), np.array(masks))
