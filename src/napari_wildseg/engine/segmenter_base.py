"""What `Segmenter` and `LargeSegmenter` share: model, settings, and checks of what they hold."""

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from napari_wildseg.engine.checks import checked_path
from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.maps.thresholds import checked_threshold
from napari_wildseg.engine.memory.records import Source
from napari_wildseg.engine.models import load_model
from napari_wildseg.engine.models.clip_model import CLIPModel
from napari_wildseg.engine.names.class_texts import checked_background
from napari_wildseg.engine.relevance import get_method
from napari_wildseg.engine.turns import Turns


class _Image(Protocol):
    @property
    def shape(self) -> tuple[int, ...]: ...


class _State(Protocol):
    @property
    def classes(self) -> tuple[ClassInfo, ...]: ...


ImageT = TypeVar("ImageT", bound=_Image)
EncodedT = TypeVar("EncodedT")
StateT = TypeVar("StateT", bound=_State)


class SegmenterBase(Generic[ImageT, EncodedT, StateT]):
    """Holds the model and one image: its encoding and the state of the last segmentation."""

    def __init__(
        self,
        model: str | CLIPModel,
        views: str,
        method: str | None,
        threshold: float,
        device: str,
        background: Sequence[str],
    ) -> None:
        if not isinstance(model, str) and not hasattr(model, "network"):
            model = str(checked_path(model, "model"))
        self._spec = model
        self._model: CLIPModel | None = None if isinstance(model, str) else model
        self.views = views
        self.method = method
        self.threshold = checked_threshold(threshold)
        self.device = device
        self.background = checked_background(background)
        self._image: ImageT | None = None
        self._encoding: EncodedT | None = None
        self._state: StateT | None = None
        self._seconds: dict[str, float] = {}
        self._turns = Turns()

    @property
    def model(self) -> CLIPModel:
        """The model, loaded at the first access."""
        if self._model is None:
            assert isinstance(self._spec, str)
            self._model = load_model(self._spec, device=self.device)
        return self._model

    @property
    def image_shape(self) -> tuple[int, int] | None:
        """``(H, W)`` of the current image; None before `set_image`."""
        if self._image is None:
            return None
        height, width = self._image.shape[:2]
        return height, width

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """Classes of the last `segment`; empty before the first."""
        return self._state.classes if self._state else ()

    @property
    def source(self) -> Source:
        """Model, relevance method and views: what a class memory belongs to."""
        return self._source(get_method(self.method, self.model).name)

    def _source(self, method: str) -> Source:
        return Source(self.model.name, self.model.fingerprint, method, self.views)

    def _require_image(self) -> tuple[ImageT, EncodedT]:
        if self._image is None or self._encoding is None:
            raise InputError("There is no image yet: call set_image first.")
        self._turns.check_image()
        return self._image, self._encoding

    def _require_state(self) -> StateT:
        if self._state is None:
            raise InputError("Nothing is segmented yet: call segment with class names first.")
        self._turns.check_image()
        return self._state
