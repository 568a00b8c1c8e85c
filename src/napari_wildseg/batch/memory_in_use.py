"""The class memory that a batch is done with: kept beside its journal, known by its digest."""

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
"""The memory that a batch is done with, inside the output folder."""

ENCODINGS = f"{FOLDER}/encodings"
"""Where encodings are kept for an update, inside the output folder; it may be deleted."""

ENCODING_BYTES = 8 * 2**30


@dataclass(frozen=True)
class MemoryFile:
    """A memory that whoever does images of a batch reads from its file.

    Attributes
    ----------
    path : str
        The file.
    digest : str
        `ClassMemory.digest` of what it held when the batch was started.
    """

    path: str
    digest: str

    @property
    def short(self) -> str:
        """What records of images say of it."""
        return self.digest[:16]

    def load(self) -> ClassMemory:
        """Return the memory, ready to use; read once in a process.

        Raises
        ------
        InputError
            If the file is gone, damaged, or holds something else now.
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
    """Write the memory of a batch beside its journal.

    Parameters
    ----------
    folder : Path
        The output folder.
    memory : ClassMemory or None
        The memory; None or an empty one removes what is there.
    """
    path = folder / MEMORY
    if memory is None or not len(memory):
        path.unlink(missing_ok=True)
        return None
    memory.save(path, overwrite=True)
    return MemoryFile(str(path.absolute()), memory.digest)


def memory_to_resume(
    folder: Path, header: Mapping[str, Any], given: ClassMemory | None
) -> ClassMemory | None:
    """Return the memory that a batch goes on with.

    Parameters
    ----------
    folder : Path
        The output folder.
    header : mapping
        Of its journal.
    given : ClassMemory or None
        What the annotator named now.

    Raises
    ------
    InputError
        If that is another memory, or the one it was done with is lost.
    """
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
    """Return a memory with the reviewed images of a batch added, and why others were left out.

    Parameters
    ----------
    folder : Path
        The output folder.
    settings : BatchSettings
        How its images are segmented.
    given : ClassMemory or None
        What the annotator named; by default what the batch was done with before.
    cache_dir : str or None
        Where encodings are kept.

    Raises
    ------
    InputError
        If nothing was reviewed and no memory is given.
    """
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
        torch.set_num_threads(1)  # sums have the same bits as in the lanes of a batch
        left_out = yield from remember_steps(segmenter, sources)
    finally:
        torch.set_num_threads(threads)
    return memory, left_out


def new_segmenter(
    settings: BatchSettings, folder: Path, cache_dir: str | None, model: Any = None
) -> Segmenter:
    """Return a segmenter for the images of a batch.

    Parameters
    ----------
    settings : BatchSettings
        How they are segmented.
    folder : Path
        The output folder.
    cache_dir : str or None
        Where encodings are kept. What is kept in the output folder is kept until it is full.
    model : CLIPModel, optional
        The model, if it is loaded already.
    """
    from napari_wildseg.engine.images.disk_cache import EncodingCache
    from napari_wildseg.engine.segmenter import Segmenter

    cache = EncodingCache(0, folder=cache_dir)  # no image comes twice in a run
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
