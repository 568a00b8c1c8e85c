"""Units of work of a batch: an image, or a stack along which corrected labels are propagated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.batch.job import (
    BatchJob,
    CancelledError,
    Control,
    OutputError,
    failure_of,
    record_of,
)
from napari_wildseg.batch.journal import Record
from napari_wildseg.batch.likeness import image_descriptor
from napari_wildseg.batch.one_image import run_image
from napari_wildseg.batch.plan.corrected import Corrected
from napari_wildseg.batch.plan.worklist import WorkItem
from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.images.rgb import as_rgb
from napari_wildseg.engine.maps.uncertainty import CERTAIN
from napari_wildseg.engine.pictures.picture_files import split_plane
from napari_wildseg.engine.result import Result
from napari_wildseg.io.image_files import open_image
from napari_wildseg.io.label_image import LabelImage
from napari_wildseg.io.lazy import LazyPicture

if TYPE_CHECKING:
    from napari_wildseg.engine.segmenter import Segmenter


@dataclass(frozen=True)
class Unit:
    """Images that one lane or worker segments together."""

    items: tuple[WorkItem, ...]  # images to segment
    # All planes of the stack they belong to, if labels are carried along it; else empty.
    stack: tuple[WorkItem, ...] = ()
    # Labels that are known, by the plane's name.
    corrected: Mapping[str, Corrected] = field(default_factory=dict)


def units_of(
    todo: Sequence[WorkItem], items: Sequence[WorkItem], corrected: Mapping[str, Corrected]
) -> list[Unit]:
    """Group images into units: planes of a stack with corrected planes together, others alone."""
    stacks: dict[str, list[WorkItem]] = {}
    for item in items:
        stacks.setdefault(_stack_of(item), []).append(item)
    taught = {_stack_of(item) for item in items if item.name in corrected}
    units: dict[str, Unit] = {}
    for item in todo:
        stack = _stack_of(item)
        if stack not in taught:
            units[item.path] = Unit((item,))
        elif stack not in units:
            planes = tuple(stacks[stack])
            known = {p.name: corrected[p.name] for p in planes if p.name in corrected}
            left = {p.path for p in todo}
            units[stack] = Unit(tuple(p for p in planes if p.path in left), planes, known)
    return list(units.values())


def _stack_of(item: WorkItem) -> str:
    return str(split_plane(item.path)[0])


def run_unit(job: BatchJob, unit: Unit, segmenter: Segmenter, control: Control) -> Iterator[Record]:
    """Segment the images of a unit and yield their records; an error becomes a failed record."""
    if unit.stack:
        yield from _Stack(job, unit, segmenter, control).run()
    else:
        for item in unit.items:
            yield run_image(job, item, segmenter, control)


class _Stack:
    """Propagates corrected labels along a stack, by `napari_wildseg.engine.stacks.segment_stack`.

    A plane that fails is removed, and the stack is segmented without it.
    """

    def __init__(self, job: BatchJob, unit: Unit, segmenter: Segmenter, control: Control) -> None:
        self.job, self.segmenter, self.control = job, segmenter, control
        self.left = {item.name: item for item in unit.items}
        self.planes = list(unit.stack)
        self.corrected = dict(unit.corrected)
        self.known: dict[str, NDArray[np.int16]] = {}
        self.finished: list[Record] = []
        self.at: WorkItem | None = None
        self.rgb: NDArray[np.uint8] | None = None

    def run(self) -> Iterator[Record]:
        """Yield one record per plane."""
        while self.left:
            try:
                yield from self._pass()
            except (CancelledError, OutputError):
                raise
            except Exception as error:
                yield from self._flush()
                yield from self._take_out(failure_of(error))

    def _pass(self) -> Iterator[Record]:
        from napari_wildseg.engine.stacks.segment_stack import segment_stack_steps

        for plane in self.planes:
            if plane.name in self.corrected and plane.name not in self.known:
                self.at = plane
                self.known[plane.name] = self.corrected[plane.name].read(self.job.plan.classes)
        self.at = None
        places = {plane.name: place for place, plane in enumerate(self.planes)}
        steps = segment_stack_steps(
            self.segmenter,
            self,
            self._classes(),
            self._write,
            corrections={places[name]: fixed for name, fixed in self.known.items()},
            threshold=self.job.settings.threshold,
            only=[places[name] for name in self.left],
        )
        try:
            for _ in steps:
                self.control.check()
                yield from self._flush()
        finally:
            steps.close()
        yield from self._flush()

    def _take_out(self, failure: str) -> Iterator[Record]:
        """Remove the current plane, or all planes if there is none, and yield failed records."""
        bad = list(self.left.values()) if self.at is None else [self.at]
        for item in bad:
            self.planes.remove(item)
            self.known.pop(item.name, None)
            if self.left.pop(item.name, None) is not None:
                yield Record(item.name, item.path, failure=failure)

    def _flush(self) -> Iterator[Record]:
        for record in self.finished:
            del self.left[record.name]
            yield record
        self.finished.clear()

    def _classes(self) -> tuple[ClassInfo, ...]:
        """Return the classes listed for any plane or present in corrected labels."""
        wanted: set[int] = set()
        for fixed in self.known.values():
            wanted |= set(np.unique(fixed).tolist())
        for plane in self.planes:
            wanted |= {info.id for info in self.job.plan.of(plane.name) or ()}
        return tuple(info for info in self.job.plan.classes if info.id in wanted)

    def __len__(self) -> int:
        return len(self.planes)

    def __getitem__(self, number: int, /) -> NDArray[np.uint8]:
        self.at = self.planes[number]
        found = open_image(self.at.path)
        if isinstance(found, LazyPicture):
            found.close()
            raise InputError("labels are not carried along planes as large as this one.")
        self.rgb = as_rgb(found)
        return self.rgb

    def _write(self, number: int, result: Result) -> None:
        item = self.planes[number]
        if item.name not in self.left:
            return  # finished in an earlier run; only its neighbour needed it
        assert self.rgb is not None
        labels = LabelImage.from_result(result, image=item.name)
        with self.control.writing(item.name):
            self.job.output.write(item.name, self.rgb, labels, self.job.plan.classes)
        fixed = self.known.get(item.name)
        made = fixed is not None and bool((fixed >= 0).all())
        doubt = CERTAIN if made else self.segmenter.uncertainty()
        counts = np.bincount(labels.labels.ravel(), minlength=256)
        size = (self.rgb.shape[0], self.rgb.shape[1])
        self.finished.append(
            record_of(
                self.job,
                item,
                size,
                counts,
                labels.classes,
                doubt,
                result.notices,
                image_descriptor(self.rgb),
            )
        )
