"""The class memory of a batch: kept beside the journal and identified by its digest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wildseg.batch.journal import FOLDER
from napari_wildseg.batch.remember_images import examples_of_batch, remember_steps
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.progress import Steps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_wildseg.batch.batch_settings import BatchSettings
    from napari_wildseg.engine.memory import ClassMemory
    from napari_wildseg.engine.segmenter import Segmenter

MEMORY = f"{FOLDER}/memory.wildmemory"
"""File of the class memory of a batch, in the output folder."""

ENCODINGS = f"{FOLDER}/encodings"
"""Folder of encodings for an update, in the output folder; it may be deleted."""

ENCODING_BYTES = 8 * 2**30


@dataclass(frozen=True)
class MemoryFile:
    """A file of a class memory, read by the lanes or workers of a batch."""

    path: str  # the file
    digest: str  # `ClassMemory.digest` of what it held when the batch was started

    @property
    def short(self) -> str:
        """Short digest, as in records of images."""
        return self.digest[:16]

    def load(self) -> ClassMemory:
        """Return the memory, ready to use; it is read once per process.

        Raises `InputError` if the file is missing, damaged or has changed.
        """
        return _loaded(self.path, self.digest)


@lru_cache(maxsize=1)
def _loaded(path: str, digest: str) -> ClassMemory:
    from napari_wildseg.engine.memory import ClassMemory

    memory = ClassMemory.load(path)
    if memory.digest != digest:
        raise InputError(f"{path} has changed since the batch was started: start it again.")
    memory.prepare()
    return memory


def keep_memory(folder: Path, memory: ClassMemory | None) -> MemoryFile | None:
    """Write the memory of a batch beside its journal; None or an empty one deletes the file."""
    path = folder / MEMORY
    if memory is None or not len(memory):
        path.unlink(missing_ok=True)
        return None
    memory.save(path, overwrite=True)
    return MemoryFile(str(path.absolute()), memory.digest)


def memory_to_resume(
    folder: Path, header: Mapping[str, Any], given: ClassMemory | None
) -> ClassMemory | None:
    """Return the memory of a resumed batch; raise `InputError` if it is not the original one."""
    before = str(header.get("memory", ""))
    if given is not None and given.digest != before:
        was = "another class memory" if before else "no class memory"
        raise InputError(
            f"The batch in {folder} was begun with {was}: leave --memory out to go on as it was, "
            "or add --update to redo what was not reviewed with this one."
        )
    if given is not None or not before:
        return given
    from napari_wildseg.engine.memory import ClassMemory

    kept = ClassMemory.load(folder / MEMORY)
    if kept.digest != before:
        raise InputError(
            f"{folder / MEMORY} is not the memory that the batch was begun with: name that with "
            "--memory, or add --update."
        )
    return kept


def updated_memory_steps(
    folder: Path, settings: BatchSettings, given: ClassMemory | None, cache_dir: str | None
) -> Steps[tuple[ClassMemory, dict[str, str]]]:
    """Return a memory with the reviewed images of a batch added, and why others were left out."""
    import torch

    from napari_wildseg.engine.memory import ClassMemory

    memory = given
    if memory is None:
        path = folder / MEMORY
        memory = ClassMemory.load(path) if path.is_file() else ClassMemory()
    try:
        sources = examples_of_batch(folder)
    except InputError:
        if given is None:
            raise
        sources = []
    segmenter = new_segmenter(settings, folder, cache_dir)
    segmenter.memory = memory
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)  # one thread, as in a lane: bit-identical sums
        left_out = yield from remember_steps(segmenter, sources)
    finally:
        torch.set_num_threads(threads)
    return memory, left_out


def new_segmenter(
    settings: BatchSettings, folder: Path, cache_dir: str | None, model: Any = None
) -> Segmenter:
    """Return a segmenter for a batch; encodings in the output folder are never evicted."""
    from napari_wildseg.engine.images.disk_cache import EncodingCache
    from napari_wildseg.engine.segmenter import Segmenter

    cache = EncodingCache(0, folder=cache_dir)  # no image is used twice in a run
    if cache_dir is not None and Path(cache_dir) == (folder / ENCODINGS).absolute():
        cache.disk_bytes, cache.evict = ENCODING_BYTES, False
    return Segmenter(
        model or settings.model,
        views=settings.views,
        method=settings.method,
        refiner=settings.refiner,
        threshold=settings.threshold,
        device=settings.device,
        cache_dir=cache,
    )
