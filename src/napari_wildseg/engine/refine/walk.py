"""Random walk with priors on the pixel grid: the stage that finds the exact boundaries.

Grady, *Multilabel Random Walker Image Segmentation Using Prior Models*, CVPR 2005: the
probabilities ``x`` of each class minimise

    sum over neighbours  w_ij (x_i - x_j)^2  +  sum over pixels  g_i (x_i - p_i)^2

with ``w_ij`` large where neighbours look alike, ``p`` the prior and ``g`` the trust in it. A seed
is a pixel whose ``x`` is fixed. The sparse system is solved by conjugate gradients with a Jacobi
preconditioner, on every other pixel (`checkerboard`), every class at once, as shifted array
operations: no matrix is built.
"""

from __future__ import annotations

import torch
from torch import Tensor

from napari_wildseg.engine.refine.checkerboard import Checkerboard

_LOOK_EVERY = 2
"""Steps of conjugate gradients from one look at the residual to the next."""


def mean_contrast(guide: Tensor) -> float:
    """Return the mean squared difference between neighbouring pixels.

    `guide`: ``(C, H, W)`` float32.
    """
    down, right = _differences(guide)
    return float((down.sum() + right.sum()) / max(1, down.numel() + right.numel()))


def _differences(guide: Tensor) -> tuple[Tensor, Tensor]:
    down = (guide[:, 1:] - guide[:, :-1]).square().sum(0)
    right = (guide[:, :, 1:] - guide[:, :, :-1]).square().sum(0)
    return down, right


def edge_weights(
    guide: Tensor, beta: float, floor: float = 1e-3, *, contrast: float | None = None
) -> tuple[Tensor, Tensor]:
    """Weigh the edges between neighbouring pixels by how alike they look.

    `guide`: ``(C, H, W)`` float32, for example CIE Lab divided by 100; returns ``(H - 1, W)`` and
    ``(H, W - 1)`` float32 in ``(floor, 1]``.
    """
    down, right = _differences(guide)
    if contrast is None:
        mean = (down.sum() + right.sum()) / max(1, down.numel() + right.numel())
    else:
        mean = torch.tensor(contrast)
    scale = -beta / mean.clamp(min=1e-8)
    return (down * scale).exp_().clamp_(min=floor), (right * scale).exp_().clamp_(min=floor)


def weaken_edges(edges: tuple[Tensor, Tensor], pull: Tensor) -> tuple[Tensor, Tensor]:
    """Weaken the edges of pixels that are to have little influence on their neighbours.

    `pull`: ``(H, W)`` float32 in (0, 1]: an edge is multiplied by the lower one of its pixels.
    """
    down, right = edges
    return (
        down * torch.minimum(pull[1:], pull[:-1]),
        right * torch.minimum(pull[:, 1:], pull[:, :-1]),
    )


def margin_of(probabilities: Tensor) -> Tensor:
    """Say how far the most likely label is ahead of the next.

    `probabilities`: ``(K, H, W)`` float32, of two labels at least; returns ``(H, W)`` float32.
    """
    first, other, *others = probabilities
    best, second = torch.maximum(first, other), torch.minimum(first, other)
    for values in others:  # label by label: in a fraction of the time of a search for two
        second = torch.maximum(second, torch.minimum(best, values))
        best = torch.maximum(best, values)
    return best - second


def degree_of(trust: Tensor, edges: tuple[Tensor, Tensor]) -> Tensor:
    """Return the diagonal of the system: the trust and the edges of every pixel, ``(H, W)``.

    `trust`: ``(H, W)`` float32, at least 0.
    """
    down, right = edges
    degree = trust.clone()
    degree[1:] += down
    degree[:-1] += down
    degree[:, 1:] += right
    degree[:, :-1] += right
    return degree.clamp_(min=1e-8)


def random_walk(
    prior: Tensor,
    trust: Tensor,
    edges: tuple[Tensor, Tensor],
    *,
    fixed: Tensor | None = None,
    start: Tensor | None = None,
    iterations: int = 30,
    tolerance: float = 3e-3,
) -> Tensor:
    """Solve for the probabilities of the module's text.

    `prior`: ``(K, H, W)`` float32; where ``fixed``, the value that is kept; `trust`: ``(H, W)``
    float32, at least 0; `fixed`: ``(H, W)`` bool; `start`: ``(K, H, W)`` first guess; the prior if
    not given; returns ``(K, H, W)`` float32.
    """
    x = prior if start is None else start
    system = ReducedSystem(x, prior, trust, edges, fixed)
    goal = tolerance**2 * (trust * prior).square().sum().clamp(min=1e-12)
    residual = system.residual
    direction, applied = residual.clone(), torch.empty_like(residual)
    change = torch.zeros_like(residual)
    squares = _squares(residual)
    # In place throughout: the arrays outgrow the cache, and every copy costs as much as the sums.
    for number in range(iterations):
        # Looking whether it is done costs as much as a tenth of a step.
        if number % _LOOK_EVERY == 0:
            left = residual.square().sum(0).dot(system.degree)
            if left <= goal:
                break
        system.apply(direction, applied)
        alpha = squares / _dot(direction, applied).clamp(min=1e-20)
        change.addcmul_(alpha, direction)
        residual.addcmul_(alpha, applied, value=-1)
        squares, last = _squares(residual), squares
        torch.addcmul(residual, squares / last.clamp(min=1e-20), direction, out=direction)
    return system.finish(change)


class ReducedSystem:
    """The system of the module's text for every other pixel; the rest follows from those.

    Divided by the root of the degree on both sides, it has ones on its diagonal (and nothing at
    fixed pixels): Jacobi's preconditioner is then the identity. Of the change from a first guess,
    only its pixels on the white squares of a checkerboard are to be solved for.

    `start`: ``(K, H, W)`` float32 first guess.

    Attributes
    ----------
    residual : torch.Tensor
        ``(K, n)`` float32: what the first guess leaves to the white pixels.
    degree : torch.Tensor
        ``(n,)`` float32, theirs.
    """

    def __init__(
        self,
        start: Tensor,
        prior: Tensor,
        trust: Tensor,
        edges: tuple[Tensor, Tensor],
        fixed: Tensor | None = None,
    ) -> None:
        degree = degree_of(trust, edges)
        self._start = start
        self._scale = scale = degree.rsqrt()
        if fixed is not None:
            self._start = torch.where(fixed, prior, start)
            scale.masked_fill_(fixed, 0)
        down, right = edges
        self._board = Checkerboard(
            down * scale[1:] * scale[:-1], right * scale[:, 1:] * scale[:, :-1]
        )
        left = (trust * prior - _product(self._start, degree, edges)).mul_(scale)
        self.residual, self._black = self._board.split(left)
        self._board.add_to_white(self.residual, self._black)
        self.degree, _ = self._board.split(degree)
        self._handed = torch.empty_like(self._black)

    def apply(self, white: Tensor, out: Tensor) -> Tensor:
        """Apply the system to white pixels ``(K, n)``, into ``out``."""
        self._board.add_to_black(self._handed.zero_(), white)
        return self._board.add_to_white(out.copy_(white), self._handed, -1)

    def finish(self, change: Tensor) -> Tensor:
        """Return ``(K, H, W)``, what a change of the white pixels leads to; to be called once."""
        self._board.add_to_black(self._black, change)
        return torch.addcmul(self._start, self._board.join(change, self._black), self._scale)


def _product(x: Tensor, degree: Tensor, edges: tuple[Tensor, Tensor]) -> Tensor:
    """Apply the system to ``(K, H, W)``."""
    down, right = edges
    y = degree * x
    y[:, 1:].addcmul_(down, x[:, :-1], value=-1)
    y[:, :-1].addcmul_(down, x[:, 1:], value=-1)
    y[:, :, 1:].addcmul_(right, x[:, :, :-1], value=-1)
    y[:, :, :-1].addcmul_(right, x[:, :, 1:], value=-1)
    return y


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Row by row ``(K, 1)``; on several threads `torch.linalg.vecdot` takes three times as long."""
    return torch.stack([row.dot(other) for row, other in zip(a, b, strict=True)])[:, None]


def _squares(a: Tensor) -> Tensor:
    """As ``_dot(a, a)``, in half the time."""
    length: Tensor = torch.linalg.vector_norm(a, dim=1, keepdim=True)
    return length.square_()
