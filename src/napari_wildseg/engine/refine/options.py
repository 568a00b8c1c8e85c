"""Settings of the default refiner."""

from __future__ import annotations

from dataclasses import dataclass, field

from napari_wildseg.engine.refine.agreement import Agreement
from napari_wildseg.engine.refine.learning.learn import Learning
from napari_wildseg.engine.refine.seeds import Seeding


@dataclass(frozen=True)
class DefaultOptions:
    """Settings of the default refiner, chosen by measurement (docs/method.md).

    Attributes
    ----------
    temperature : float
        Cosine of network features that weighs a factor e in step 1.
    colour : float
        CIE Lab difference that weighs a factor e in step 1.
    rounds : int
        How often values are handed on in step 1.
    sharpness : float
        Turns the scores of step 1 into probabilities.
    bias : float
        Added to the threshold: spread maps lie higher than relevance maps.
    work_pixels : int
        Resolution of step 4.
    beta : float
        Contrast of the edges in step 4.
    trust : float
        Weight of the prior in step 4.
    fine_trust : float
        How much that weight grows where a class memory decided pixel by pixel.
    pieces : int
        Number of superpixels in steps 2 and 3.
    learning : Learning
        Settings of step 2.
    agreement : Agreement
        Settings of step 3.
    seeding : Seeding
        Settings of step 1 where there are seeds alone.
    """

    temperature: float = 0.1
    colour: float = 15.0
    rounds: int = 48
    sharpness: float = 10.0
    bias: float = 0.05
    work_pixels: int = 90_000
    beta: float = 3.0
    trust: float = 0.004
    fine_trust: float = 50.0
    pieces: int = 2500
    learning: Learning = field(default_factory=Learning)
    agreement: Agreement = field(default_factory=Agreement)
    seeding: Seeding = field(default_factory=Seeding)
