"""What `Segmenter` and `LargeSegmenter` share: model, settings, and checks of what they hold."""

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_wildseg.engine.checks import checked_path
from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.images.encoding import ImageEncoding
from napari_wildseg.engine.maps.thresholds import checked_threshold
from napari_wildseg.engine.maps.uncertainty import view_grid
from napari_wildseg.engine.memory.class_memory import ClassMemory
from napari_wildseg.engine.memory.records import Source
from napari_wildseg.engine.models import load_model
from napari_wildseg.engine.models.clip_model import CLIPModel
from napari_wildseg.engine.names.class_texts import checked_background, text_rows
from napari_wildseg.engine.names.tagging import everyday_rivals
from napari_wildseg.engine.names.tagging.name_maps import name_maps
from napari_wildseg.engine.relevance import get_method
from napari_wildseg.engine.thread_tracker import ThreadTracker


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
        memory: ClassMemory | None,
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
        self.memory = memory
        self._image: ImageT | None = None
        self._encoding: EncodedT | None = None
        self._state: StateT | None = None
        self._seconds: dict[str, float] = {}
        self._turns = ThreadTracker()

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

    def name_maps(self, names: Sequence[str]) -> NDArray[np.float32]:
        """Say where in the image names have their evidence; nothing is encoded again.

        Parameters
        ----------
        names : sequence of str
            Names of a vocabulary, for example those that `suggest` gave; at least one.

        Returns
        -------
        ndarray
            ``(K, h, w)`` float32 in [0, 1]: a name's share at each place, on a coarse grid that
            tiles the image, in competition with the rivals of `suggest`.

        Raises
        ------
        InputError
            If there is no image.
        """
        rivals = everyday_rivals(self.background)
        return name_maps(self._whole_encoding(), self.model, names, rivals)

    def _whole_encoding(self) -> ImageEncoding:
        """Return the encoding of the image as a whole."""
        raise NotImplementedError

    def _by_view(self, state: StateT) -> list[Tensor]:
        """Return the relevance of the classes in each view, for `estimate_uncertainty`."""
        encoding = self._whole_encoding()
        text, background = text_rows(self.model, state.classes, self.background)
        return encoding.relevance_by_view(self.model, text, background, view_grid(encoding.shape))

    def _memory_for(self, method: str) -> ClassMemory | None:
        """Return the class memory unless it is empty; it must fit the model and the method."""
        if self.memory is not None:
            self.memory.check(self._source(method))
        return self.memory if self.memory is not None and len(self.memory) else None

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
