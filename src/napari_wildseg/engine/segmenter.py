"""`Segmenter`: holds what is known of one image and calls the stages of the method in order."""

import os
import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.auto_segment import segment_auto_steps
from napari_wildseg.engine.checks import require
from napari_wildseg.engine.classes import ClassInfo, parse_classes
from napari_wildseg.engine.corrections import keep_corrections
from napari_wildseg.engine.images.disk_cache import EncodingCache
from napari_wildseg.engine.images.encoding import ImageEncoding, encode_steps
from napari_wildseg.engine.images.rgb import as_rgb
from napari_wildseg.engine.limits import Limits, new_strokes
from napari_wildseg.engine.maps.class_maps import Segmentation, to_pixels
from napari_wildseg.engine.maps.presence import PresenceTest, Rivals
from napari_wildseg.engine.maps.pseudo_labels import decide, normalise
from napari_wildseg.engine.maps.thresholds import (
    PRESENT_SCORE,
    checked_threshold,
    vocabulary_scores,
)
from napari_wildseg.engine.maps.uncertainty import Uncertainty, estimate_uncertainty
from napari_wildseg.engine.memory.class_memory import ClassMemory
from napari_wildseg.engine.memory.recall import recall
from napari_wildseg.engine.memory.records import ImageRecord, make_record
from napari_wildseg.engine.models.clip_model import CLIPModel
from napari_wildseg.engine.names.class_texts import BACKGROUND_WORDS, text_rows
from napari_wildseg.engine.names.familiarity import Familiarity, familiarity, notices_about
from napari_wildseg.engine.names.tagging import everyday_rivals, tag, tag_whole
from napari_wildseg.engine.names.vocabularies import names_of
from napari_wildseg.engine.progress import Progress, Steps, drain
from napari_wildseg.engine.refine import start_refinement
from napari_wildseg.engine.refine.default import DefaultRefinement
from napari_wildseg.engine.relevance import get_method
from napari_wildseg.engine.result import Result, notices_of
from napari_wildseg.engine.segmenter_base import SegmenterBase
from napari_wildseg.engine.stacks.propagation import PlaneFeatures, plane_features_of
from napari_wildseg.engine.thread_tracker import one_thread

_NO_LIMITS = Limits()


class Segmenter(SegmenterBase[NDArray[np.uint8], ImageEncoding, Segmentation]):
    """Turn class names into masks for one image after another.

    A segmenter serves one thread at a time. A call while another thread is in one, and a call of a
    thread whose image another thread has replaced, raise `InputError`. For several threads make
    several segmenters, which can share a loaded model.

    Parameters
    ----------
    model : str or CLIPModel
        ``"starter"``, ``"ViT-B-16/openai"``, ``"local-dir:..."``, a checkpoint file, or a model
        that is loaded already. A string is loaded at the first `set_image`.
    views : str
        Preset of test-time augmentation: ``"single"``, ``"fast"``, ``"default"`` or ``"best"``.
    method : str, optional
        Relevance method; the image tower's default if not given.
    refiner : str
        Single-image refinement, see `napari_wildseg.refine`.
    threshold : float
        In [0, 1]; a higher one gives more background.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    background : sequence of str
        Words that compete with the classes; those that mean the same as a class of the image
        are left out. None at all is allowed.
    cache_dir : path, optional
        Also keep encodings in this folder, for the next time the same image is opened with the
        same model, method and views. The images encoded last are kept in memory anyway. An
        `EncodingCache` is used as it is, without ``cache_bytes``.
    cache_bytes : int
        Most bytes of encodings of earlier images kept in memory; 0 where none comes back.
    memory : ClassMemory, optional
        What earlier images taught about the classes; asked by `segment`. It may be set, or taken
        away, between two calls of `segment`. `remember` begins one if there is none.

    Examples
    --------
    >>> import napari_wildseg as ws
    >>> segmenter = ws.Segmenter()
    >>> segmenter.set_image(image)  # doctest: +SKIP
    >>> result = segmenter.segment(["cat", "cup of coffee=cup|mug"])  # doctest: +SKIP
    >>> result = segmenter.refine(corrections)  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str | CLIPModel = "starter",
        *,
        views: str = "default",
        method: str | None = None,
        refiner: str = "default",
        threshold: float = 0.5,
        device: str = "auto",
        background: Sequence[str] = BACKGROUND_WORDS,
        cache_dir: str | os.PathLike[str] | EncodingCache | None = None,
        cache_bytes: int = 256 * 2**20,
        memory: ClassMemory | None = None,
    ) -> None:
        super().__init__(model, views, method, threshold, device, background, memory)
        require(refiner, str, "refiner", "its name")
        require(cache_bytes, (int, np.integer), "size of the cache", "bytes, a whole number")
        self.refiner = refiner
        self._cache = (
            cache_dir
            if isinstance(cache_dir, EncodingCache)
            else EncodingCache(cache_bytes, folder=cache_dir)
        )
        self._rivals: Rivals | None = None
        self._presence: PresenceTest | None = None
        self.result: Result | None = None

    # ------------------------------------------------------------------ model and image

    def set_image(self, image: Any) -> None:
        """Encode the augmented views of an image; everything later reuses them.

        Parameters
        ----------
        image : array_like
            See `napari_wildseg.engine.images.rgb.as_rgb` for what is taken.

        Raises
        ------
        InputError
            If the array is not an image that can be segmented.
        """
        drain(self.set_image_steps(image))

    @one_thread
    def set_image_steps(self, image: Any) -> Steps[None]:
        """As `set_image`, as a generator of `Progress`; the old image stays until it ends."""
        rgb = as_rgb(image)
        yield Progress(0, 1, "Loading the model")
        model = self.model
        method = get_method(self.method, model)
        self._memory_for(method.name)
        started = time.perf_counter()
        encoding = yield from encode_steps(rgb, model, method, self.views, self._cache)
        self._seconds = {"encode": time.perf_counter() - started}
        self._image, self._encoding = rgb, encoding
        names = everyday_rivals(self.background)
        if self._rivals is None or self._rivals.names != tuple(names):
            self._rivals = Rivals(model, names)
        self._presence = PresenceTest(encoding, model, self._rivals)
        self._state = None
        self.result = None
        self._turns.image_is_set()

    # ------------------------------------------------------------------ names to masks

    def segment(
        self,
        labels: str | Iterable[str | ClassInfo],
        *,
        threshold: float | None = None,
        refine: bool = True,
        keep_stages: bool = False,
    ) -> Result:
        """Segment the current image by class names.

        Parameters
        ----------
        labels : str or iterable of str or ClassInfo
            ``"cat, cup of coffee=cup|mug"`` or one entry a class.
        threshold : float, optional
            In [0, 1]; kept for later calls.
        refine : bool
            Run the single-image refinement; if False, ``result.labels`` is decided from the
            relevance maps alone.
        keep_stages : bool
            Also give the labels after each stage (for evaluation).

        Raises
        ------
        InputError
            If there is no image, or the names cannot be used.
        """
        return drain(
            self.segment_steps(labels, threshold=threshold, refine=refine, keep_stages=keep_stages)
        )

    @one_thread
    def segment_steps(
        self,
        labels: str | Iterable[str | ClassInfo],
        *,
        threshold: float | None = None,
        refine: bool = True,
        keep_stages: bool = False,
    ) -> Steps[Result]:
        """As `segment`, as a generator of `Progress`; the old result stays until it ends."""
        _, encoding = self._require_image()
        classes = parse_classes(labels)
        threshold = self.threshold if threshold is None else checked_threshold(threshold)
        yield Progress(0, 3, "Finding the classes")
        started = time.perf_counter()
        text, background = text_rows(self.model, classes, self.background)
        assert self._presence is not None
        presence = self._presence(classes, text)
        maps = encoding.relevance(self.model, text, background)
        state = Segmentation.begin(classes, maps, presence, encoding.shape)
        if (memory := self._memory_for(encoding.method.name)) is not None:
            yield Progress(1, 3, "Recalling earlier images")
            state.take(recall(memory, classes, self._reader(state)))
        seconds = time.perf_counter() - started
        stages = None
        if keep_stages:
            first = encoding.relevance(self.model, text, background, first_only=True)
            single = to_pixels(normalise(first, presence=presence), encoding.shape)
            stages = {
                "single view": state.to_ids(decide(single, threshold)),
                "augmented": state.to_ids(decide(state.relevance, threshold)),
            }
        self._seconds["relevance"] = seconds
        return (yield from self._result_steps(state, threshold, None, None, refine, stages))

    def segment_auto(
        self,
        vocabulary: str | Sequence[str] = "coco",
        *,
        cut: float = PRESENT_SCORE,
        threshold: float | None = None,
        refine: bool = True,
    ) -> Result:
        """Segment the current image into the names that `suggest` finds in it.

        Parameters
        ----------
        vocabulary : str or sequence of str
            As for `suggest`.
        cut : float
            Names with at least this score are taken, but at least one.
        threshold, refine
            As for `segment`.

        Returns
        -------
        Result
            Classes that got no pixels are left out, and ``notices`` say so.
        """
        return drain(
            segment_auto_steps(self, vocabulary, cut=cut, threshold=threshold, refine=refine)
        )

    def pseudo_labels(self, threshold: float) -> NDArray[np.uint8]:
        """Give the pseudo-labels at a threshold; nothing is encoded again.

        Returns
        -------
        ndarray
            ``(H, W)`` uint8: 0 background, class ids, 255 not sure.
        """
        state = self._require_state()
        return state.to_ids(state.evidence.pseudo_labels(checked_threshold(threshold)))

    def suggest(
        self,
        vocabulary: str | Sequence[str] = "coco",
        top: int = 10,
        *,
        merge_duplicates: bool = True,
        whole_image: bool = False,
    ) -> list[tuple[str, float]]:
        """Suggest names of what is in the image; nothing is encoded again.

        Parameters
        ----------
        vocabulary : str or sequence of str
            A ready list (see `napari_wildseg.engine.names.vocabularies.VOCABULARIES`), the path
            of a text or CSV file, or the names themselves.
        top : int
            How many at most.
        merge_duplicates : bool
            Leave out names that nearly repeat a better one.
        whole_image : bool
            Score the whole image at once, by cosine, instead of its places; for comparison.

        Returns
        -------
        list of (str, float)
            Names and scores, best first. Scores are in [0, 1], and
            `napari_wildseg.engine.maps.thresholds.PRESENT_SCORE` is the line between present and
            not, for every vocabulary; only ``whole_image`` gives cosines.

        Raises
        ------
        InputError
            If there is no image, or no such vocabulary.
        """
        _, encoding = self._require_image()
        require(top, (int, np.integer), "number of names", "a whole number")
        names = names_of(vocabulary)
        if whole_image:
            return tag_whole(encoding, self.model, names)[:top]
        shares = self.name_shares(names, merge_duplicates=merge_duplicates)
        return vocabulary_scores(shares[:top], len(names))

    def name_shares(
        self, names: Sequence[str], *, merge_duplicates: bool = True
    ) -> list[tuple[str, float]]:
        """Score names given for this image; the scores do not depend on their number.

        Parameters
        ----------
        names : sequence of str
            Names.
        merge_duplicates : bool
            As for `suggest`.

        Returns
        -------
        list of (str, float)
            Names, best first, with their shares in [0, 1]: of the best places, in competition
            with everyday words.

        Raises
        ------
        InputError
            If there is no image.
        """
        _, encoding = self._require_image()
        rivals = everyday_rivals(self.background)
        return tag(encoding, self.model, names, rivals, merge_duplicates=merge_duplicates)

    def uncertainty(self) -> Uncertainty:
        """Tell how much the last result is to be doubted; nothing is encoded again.

        Returns
        -------
        Uncertainty
            A score to rank images by, and the reasons it is made of.

        Raises
        ------
        InputError
            If nothing was segmented yet.
        """
        state = self._require_state()
        assert self.result is not None
        return estimate_uncertainty(
            self.result.labels, self.result.pseudo_labels, state.relevance, self._by_view(state)
        )

    def plane_features(self) -> PlaneFeatures:
        """Describe what the image's places look like, for carrying labels to another plane."""
        image, encoding = self._require_image()
        return plane_features_of(image, encoding.features())

    def familiarity(self, labels: str | Iterable[str | ClassInfo]) -> dict[str, Familiarity] | None:
        """Say how well the model knows names; needs no image.

        Returns
        -------
        dict of str to Familiarity, or None
            By class name; None for a model of which nothing is on record.
        """
        return familiarity(self.model, parse_classes(labels))

    # ------------------------------------------------------------------ corrections

    def refine(
        self,
        corrections: NDArray[np.integer[Any]] | None = None,
        *,
        pseudo_labels: NDArray[np.uint8] | None = None,
        near: float | None = None,
        locked: Iterable[int | str] = (),
    ) -> Result:
        """Rerun the single-image refinement, keeping every corrected pixel.

        Parameters
        ----------
        corrections : ndarray, optional
            ``(H, W)`` integers: -1 not corrected, else 0 or a class id. All corrections so far,
            not only the new ones.
        pseudo_labels : ndarray, optional
            ``(H, W)`` uint8 to start from instead of those of the threshold.
        near : float, optional
            Change nothing farther than this, in pixels, from what was corrected since the last
            result.
        locked : iterable of int or str
            Classes, by id or name, that lose no pixel of the last result and get none, except
            where a correction says so.

        Raises
        ------
        InputError
            If nothing was segmented yet, or the shape or values do not fit the image.
        """
        return drain(
            self.refine_steps(corrections, pseudo_labels=pseudo_labels, near=near, locked=locked)
        )

    @one_thread
    def refine_steps(
        self,
        corrections: NDArray[np.integer[Any]] | None = None,
        *,
        pseudo_labels: NDArray[np.uint8] | None = None,
        near: float | None = None,
        locked: Iterable[int | str] = (),
    ) -> Steps[Result]:
        """As `refine`, as a generator of `Progress`; the old result stays until it ends."""
        self._require_image()
        state = self._require_state()
        limits = Limits.checked(near, locked, state.classes)
        fixed = state.corrections_to_indices(corrections)
        seeds = state.pseudo_labels_to_indices(pseudo_labels)
        return (
            yield from self._result_steps(state, self.threshold, seeds, fixed, True, limits=limits)
        )

    # ------------------------------------------------------------------ memory

    def remember(
        self,
        *,
        finished: bool = True,
        labels: NDArray[np.integer[Any]] | None = None,
        name: str = "",
    ) -> ImageRecord:
        """Add the present image to `memory`; a record of the same image is replaced.

        Parameters
        ----------
        finished : bool
            Whether every label is right. If False, corrected pixels count in full and the other
            labels a little.
        labels : ndarray, optional
            ``(H, W)`` integers: 0 or class ids, 255 not known; those of the last result if not
            given. They may come from anywhere, for example from an annotator's file.
        name : str
            What the annotator knows the image by.

        Returns
        -------
        ImageRecord
            What was added.

        Raises
        ------
        InputError
            If nothing was segmented yet, the labels do not fit the image and classes, or the
            memory belongs to another model, method or set of views.
        """
        record = self.record(finished=finished, labels=labels, name=name)
        if self.memory is None:
            self.memory = ClassMemory()
        self.memory.add(record, self._source(self._require_image()[1].method.name))
        return record

    def record(
        self,
        *,
        finished: bool = True,
        labels: NDArray[np.integer[Any]] | None = None,
        name: str = "",
    ) -> ImageRecord:
        """As `remember`, but only return the record."""
        image, _ = self._require_image()
        state = self._require_state()
        assert self.result is not None
        places = state.pseudo_labels_to_indices(self.result.labels if labels is None else labels)
        assert places is not None
        corrections = state.corrections_to_indices(self.result.corrections)
        names = tuple(info.name for info in state.classes)
        return make_record(
            image, names, self._reader(state), places, corrections, name=name, finished=finished
        )

    def _reader(self, state: Segmentation) -> DefaultRefinement:
        """Return a refinement that has superpixels and spreads maps, whatever the refiner is."""
        if state.reader is None:
            image, encoding = self._require_image()
            reader = start_refinement(
                image,
                len(state.classes),
                features=encoding.features(),
                relevance=state.grid_relevance.numpy(),
                like=self._state.reader if self._state else None,
            )
            assert isinstance(reader, DefaultRefinement)
            state.reader = reader
        return state.reader

    # ------------------------------------------------------------------ internal

    def _whole_encoding(self) -> ImageEncoding:
        return self._require_image()[1]

    def _result_steps(
        self,
        state: Segmentation,
        threshold: float,
        seeds: NDArray[np.uint8] | None,
        corrections: NDArray[np.int16] | None,
        refine: bool,
        stages: dict[str, NDArray[np.uint8]] | None = None,
        limits: Limits = _NO_LIMITS,
    ) -> Steps[Result]:
        """Make the result; what the segmenter holds changes only when all is done."""
        image, encoding = self._require_image()
        made_with: float | None = None
        if seeds is None:
            made_with = threshold
            seeds = state.evidence.pseudo_labels(threshold)
        yield Progress(1, 3, "Refining" if refine else "Labelling")
        started = time.perf_counter()
        if refine:
            if self.refiner == DefaultRefinement.name:
                state.refinement = self._reader(state)
            elif state.refinement is None or state.refinement.name != self.refiner:
                state.refinement = start_refinement(
                    image,
                    len(state.classes),
                    method=self.refiner,
                    features=encoding.features(),
                    relevance=state.grid_relevance.numpy(),
                    like=self._state.refinement if self._state else None,
                )
            labels = yield from state.refinement.run_steps(seeds, corrections, made_with)
        else:
            labels = keep_corrections(decide(state.relevance, threshold), corrections)
        self._seconds["refine"] = time.perf_counter() - started
        refined = state.to_ids(labels)
        decided = None if corrections is None else state.corrections_to_ids(corrections)
        if limits and self.result is not None:
            painted = new_strokes(decided, self.result.corrections)
            refined = limits.apply(self.result.labels, refined, painted, decided)
        result = Result(
            labels=refined,
            pseudo_labels=state.to_ids(seeds),
            relevance=state.relevance,
            classes=state.classes,
            model=self.model.name,
            settings={
                "threshold": threshold,
                "views": self.views,
                "method": encoding.method.name,
                "refiner": self.refiner if refine else None,
                **limits.to_settings(),
                **({} if state.recalled is None else {"memory": state.recalled.used}),
            },
            notices=(
                *self.model.notices,
                *(() if state.recalled is None else state.recalled.notices),
                *notices_about(self.model, state.classes),
                *notices_of(refined, state.classes, state.left_out),
            ),
            seconds=dict(self._seconds),
            stage_labels=None if stages is None else {**stages, "refined": refined},
            corrections=decided,
            left_out=tuple(info for info in state.left_out if not (refined == info.id).any()),
        )
        yield Progress(3, 3, "Done")
        self._state, self.threshold, self.result = state, threshold, result
        return result
