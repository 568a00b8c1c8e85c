"""Settings with which all images of a batch are segmented."""

from dataclasses import asdict, dataclass
from typing import Any

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.maps.thresholds import checked_threshold


@dataclass(frozen=True)
class BatchSettings:
    """Settings of the segmentation; see `napari_wildseg.Segmenter`.

    Attributes
    ----------
    model : str
        Model string.
    views : str
        Preset of views (test-time augmentation).
    method : str or None
        Relevance method; None for the default of the model.
    refiner : str
        Name of the refiner.
    threshold : float
        In [0, 1].
    refine : bool
        False to write the pseudo-labels, 255 where undecided.
    objects : bool
        Whether the objects of each image are written too, to the folder ``objects``.
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
    objects: bool = False

    def __post_init__(self) -> None:
        from napari_wildseg.engine.images.views import PRESETS
        from napari_wildseg.engine.refine import refiner_names

        # Checked before the first image, so that a typing error does not fail every image.
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
        """Return the settings as a JSON-serialisable dictionary."""
        found = asdict(self)
        if not self.objects:  # as journals of 0.1 have it
            del found["objects"]
        return found
