"""How every image of a batch is segmented."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.maps.thresholds import checked_threshold


@dataclass(frozen=True)
class BatchSettings:
    """What decides the labels; see `napari_wildseg.Segmenter`.

    Attributes
    ----------
    model : str
        Model string.
    views : str
        Preset of test-time augmentation.
    method : str or None
        Relevance method; None for the model's default.
    refiner : str
        Single-image refinement.
    threshold : float
        In [0, 1].
    refine : bool
        False to write pseudo-labels, 255 where the maps are not sure.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    """

    model: str = "starter"
    views: str = "default"
    method: str | None = None
    refiner: str = "default"
    threshold: float = 0.5
    refine: bool = True
    device: str = "auto"

    def __post_init__(self) -> None:
        from napari_wildseg.engine.images.views import PRESETS
        from napari_wildseg.engine.refine import refiner_names

        # Looked at before the first image: a typing error must not be 1000 failed images.
        if self.views not in PRESETS:
            raise InputError(
                f'There is no view preset "{self.views}"; choose one of {", ".join(PRESETS)}.'
            )
        if self.refiner not in refiner_names():
            raise InputError(
                f'There is no refiner "{self.refiner}"; choose one of {", ".join(refiner_names())}.'
            )
        checked_threshold(self.threshold)

    def to_json(self) -> dict[str, Any]:
        """Return what decides the labels, ready for JSON."""
        return asdict(self)
