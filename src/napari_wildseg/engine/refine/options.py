"""Settings of the default refiner."""

from __future__ import annotations

from dataclasses import dataclass, field

from napari_wildseg.engine.refine.agreement import Agreement
from napari_wildseg.engine.refine.learning.learn import Learning
from napari_wildseg.engine.refine.seeds import Seeding


@dataclass(frozen=True)
class DefaultOptions:
    """Settings of the default refiner, chosen by measurement (docs/method.md)."""

    temperature: float = 0.1  # cosine of network features that weighs a factor e in step 1
    colour: float = 15.0  # CIE Lab difference that weighs a factor e in step 1
    rounds: int = 48  # how often values are handed on in step 1
    sharpness: float = 10.0  # turns the scores of step 1 into probabilities
    bias: float = 0.05  # added to the threshold: spread maps lie higher than relevance maps
    work_pixels: int = 90_000  # resolution of step 4
    beta: float = 3.0  # contrast of the edges in step 4
    trust: float = 0.004  # weight of the prior in step 4
    # How much that weight grows where a class memory decided pixel by pixel.
    fine_trust: float = 50.0
    pieces: int = 2500  # number of superpixels in steps 2 and 3
    learning: Learning = field(default_factory=Learning)  # settings of step 2
    agreement: Agreement = field(default_factory=Agreement)  # settings of step 3
    # Settings of step 1 where there are seeds alone.
    seeding: Seeding = field(default_factory=Seeding)
