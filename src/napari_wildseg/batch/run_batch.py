"""Running of a batch: find the images left, segment them, keep the journal, write the report."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wildseg.batch.batch_settings import BatchSettings
from napari_wildseg.batch.job import STARTED, BatchJob, ModelLoaded
from napari_wildseg.batch.journal import Journal, Record, has_journal
from napari_wildseg.batch.memory_in_use import keep_memory, memory_to_resume, updated_memory_steps
from napari_wildseg.batch.origin import Origin, origins_of, this_program, with_origin
from napari_wildseg.batch.outputs import Output, open_output
from napari_wildseg.batch.plan.class_plan import ClassPlan, plan_classes
from napari_wildseg.batch.plan.conflicts import check_same, refuse_foreign, same_classes
from napari_wildseg.batch.plan.corrected import Corrected, find_corrected
from napari_wildseg.batch.plan.units import Unit, units_of
from napari_wildseg.batch.plan.worklist import WorkItem, list_images
from napari_wildseg.batch.report import Report
from napari_wildseg.batch.review_queue import forget_reviews, reviewed_in
from napari_wildseg.batch.workers.local import default_workers, run_local
from napari_wildseg.engine.errors import InputError, WildsegError
from napari_wildseg.engine.folders import check_cache_folder
from napari_wildseg.engine.progress import Progress, Steps, map_progress
from napari_wildseg.io.atomic import refuse_existing, remove_leftovers
from napari_wildseg.io.label_image import classes_from_json, classes_to_json

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Batch:
    """The images, labels, output and settings of a batch.

    Attributes
    ----------
    source : str
        Folder, pattern or list, see `napari_wildseg.batch.list_images`.
    labels : str
        ``"auto"``, a file of labels, or class names, see `plan_classes`.
    folder : Path
        The output folder.
    format : str
        Output format: png, voc, coco, tiff, ome-zarr, npz or yolo.
    vocabulary : str
        Vocabulary for automatic labels.
    if_present : bool
        Segment each image into those of the class names that the model finds in it.
    settings : BatchSettings
        Settings of the segmentation.
    corrected : Path or None
        Folder with corrected labels for some of the images. They are kept, and propagated along
        stacks. See `napari_wildseg.batch.plan.corrected.find_corrected`.
    resume : bool
        Resume the batch in the folder; start a new one if there is none.
    overwrite : bool
        Replace an existing batch and its files.
    mix_versions : bool
        Resume even if another program version or other weights were used before.
    workers : int or None
        Images segmented in parallel on this machine; None for one per core.
    scheduler : str or None
        Address of a Dask scheduler, or ``"local"`` or ``"local:N"`` for processes on this
        machine; None for threads in this process.
    cache_dir : Path or None
        Folder for encodings. Another batch of the same images, with other classes or another
        threshold, then needs no encoding. Workers of a scheduler use it as well.
    memory : Path or None
        File of a class memory, see `napari_wildseg.ClassMemory.save`.
    update : bool
        Segment the images of a finished batch that were not reviewed again, with a class memory
        of the reviewed ones added to ``memory``. Images, classes, settings and format are read
        from the batch; ``source``, ``labels``, ``format`` and ``settings`` are ignored.
    """

    source: str
    labels: str
    folder: Path
    format: str = "png"
    vocabulary: str = "coco"
    if_present: bool = False
    settings: BatchSettings = field(default_factory=BatchSettings)
    corrected: Path | None = None
    resume: bool = False
    overwrite: bool = False
    mix_versions: bool = False
    workers: int | None = None
    scheduler: str | None = None
    cache_dir: Path | None = None
    memory: Path | None = None
    update: bool = False


@dataclass(frozen=True)
class BatchProgress(Progress):
    """Progress of a batch; ``done`` and ``total`` count images.

    Attributes
    ----------
    failed : int
        Number of failed images among those done.
    record : Record or None
        Record of the image just finished.
    resumed : int
        Number of images done in an earlier run.
    started : bool
        Whether the model is loaded.
    """

    failed: int = 0
    record: Record | None = None
    resumed: int = 0
    started: bool = False


def batch_steps(batch: Batch) -> Steps[Report]:
    """Run a batch, as a generator of `BatchProgress`.

    Closing the generator stops the batch within a step of an image. ``resume`` continues from
    there, as after a crash.

    Parameters
    ----------
    batch : Batch
        The batch.

    Returns
    -------
    Report
        It is also written to the output folder.

    Raises
    ------
    InputError
        If the batch cannot be started; nothing is written then.
    WildsegError
        If the model cannot be loaded or the output cannot be written. A failed image raises
        nothing; its failure is in the report.
    """
    given = None
    if batch.memory is not None:
        from napari_wildseg.engine.memory import ClassMemory

        given = ClassMemory.load(batch.memory)
    listed = None
    if batch.update:
        batch, listed = _from_journal(batch)
    output = open_output(batch.format, batch.folder)
    # Checked before a folder is created.
    if batch.cache_dir is not None:
        check_cache_folder(batch.cache_dir)
    items, _ = listed or _items_and_plan(batch)
    corrected = _corrected(batch, items)
    if not has_journal(batch.folder):
        _refuse_foreign(output, items, batch)
    elif not (batch.resume or batch.overwrite):
        raise InputError(
            f"{batch.folder} holds a batch already: add --resume to go on with it, "
            "--overwrite to start anew, or choose another --out."
        )
    with closing(Journal(batch.folder)) as journal:
        anew = journal.header is None or not batch.resume
        names = {} if anew else {r.image: name for name, r in journal.records.items()}
        items, plan = listed or _items_and_plan(batch, names)
        cache = None if batch.cache_dir is None else str(batch.cache_dir.absolute())
        header: dict[str, Any] = {
            "output": batch.format,
            "settings": batch.settings.to_json(),
            "mode": plan.mode,
            "overwrite": batch.overwrite,
            "corrected": {name: corrected[name].digest for name in sorted(corrected)},
            "classes": classes_to_json(plan.classes),
        }
        if anew:
            _refuse_foreign(output, items, batch)
            forget_reviews(batch.folder)
            memory = given
        else:
            assert journal.header is not None
            check_same(journal.header, header, batch.folder)
            plan = same_classes(journal.header, plan, batch.folder)
            header["classes"] = classes_to_json(plan.classes)
            header["overwrite"] = batch.overwrite or bool(journal.header.get("overwrite"))
            header["made_by"] = [origin.to_json() for origin in origins_of(journal.header)]
            if batch.update:
                steps = updated_memory_steps(batch.folder, batch.settings, given, cache)
                memory, header["not_remembered"] = yield from map_progress(
                    steps, lambda step: BatchProgress(0, len(items), step.stage)
                )
            else:
                memory = memory_to_resume(batch.folder, journal.header, given)
                if "not_remembered" in journal.header:
                    header["not_remembered"] = journal.header["not_remembered"]
        learned = keep_memory(batch.folder, memory)
        if learned is not None:
            header["memory"] = learned.digest
        journal.start(header, anew=anew)
        job = BatchJob(batch.settings, plan, output, cache, learned)
        yield from _images(batch, job, items, corrected, journal)
        return _finish(job, batch, items, journal)


def _items_and_plan(
    batch: Batch, names: Mapping[str, str] | None = None
) -> tuple[tuple[WorkItem, ...], ClassPlan]:
    items = list_images(batch.source, names)
    return items, plan_classes(
        batch.labels, items, vocabulary=batch.vocabulary, if_present=batch.if_present
    )


def _from_journal(batch: Batch) -> tuple[Batch, tuple[tuple[WorkItem, ...], ClassPlan]]:
    """Read images, classes, settings and format of an update from the journal."""
    if not has_journal(batch.folder):
        raise InputError(f"There is no batch in {batch.folder} to update: run it first.")
    with closing(Journal(batch.folder)) as journal:
        header = journal.header or {}
        records = tuple(journal.records.values())
    try:
        settings = BatchSettings(**header["settings"])
        mode, format = str(header["mode"]), str(header["output"])
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{batch.folder} was written by another napari-wildseg: run the batch again with "
            "--overwrite."
        ) from error
    classes = classes_from_json(header.get("classes"), "journal.jsonl")
    known = {r.name: tuple(r.classes) for r in records if not r.failure} if mode == "known" else {}
    items = tuple(WorkItem(record.name, record.image) for record in records)
    batch = replace(batch, settings=settings, format=format, resume=True)
    return batch, (items, ClassPlan(mode, classes, known))


def _refuse_foreign(output: Output, items: Sequence[WorkItem], batch: Batch) -> None:
    read = (batch.source, batch.labels, batch.vocabulary)
    refuse_foreign(output, items, read, overwrite=batch.overwrite)


def _corrected(batch: Batch, items: Sequence[WorkItem]) -> dict[str, Corrected]:
    if batch.corrected is None:
        return {}
    if not batch.settings.refine:
        raise InputError("--corrected needs the refinement: leave --no-refine out.")
    if batch.corrected.resolve() == batch.folder.resolve():
        raise InputError(
            f"{batch.folder} cannot be both the corrected labels and the output: choose another "
            "--out."
        )
    return find_corrected(batch.corrected, items)


def _images(
    batch: Batch,
    job: BatchJob,
    items: Sequence[WorkItem],
    corrected: Mapping[str, Corrected],
    journal: Journal,
) -> Steps[None]:
    """Segment the images that are left; afterwards every image has a record."""
    kept = reviewed_in(batch.folder)
    todo = [item for item in items if not _is_done(journal, item, job, kept)]
    resumed = len(items) - len(todo)
    failed = 0
    done = resumed
    total = len(items)
    yield BatchProgress(done, total, "Loading the model", resumed=resumed)
    if not todo:
        return
    assert journal.header is not None
    before = origins_of(journal.header) if resumed else ()
    records = _records(batch, job, units_of(todo, items, corrected), journal)
    stage = "Loading the model"
    started = False
    try:
        for found in records:
            if isinstance(found, ModelLoaded):
                origin = Origin(this_program(), found.weights)
                origins = with_origin(before, origin, batch.folder, mix=batch.mix_versions)
                journal.start({**journal.header, "made_by": [o.to_json() for o in origins]})
                stage, started = STARTED, True
                yield BatchProgress(done, total, stage, failed, None, resumed, started)
                continue
            record = found if isinstance(found, Record) else None
            if record is not None:
                journal.add(record)
                done += 1
                failed += bool(record.failure)
                stage = STARTED
            elif isinstance(found, str):
                stage = found
            yield BatchProgress(done, total, stage, failed, record, resumed, started)
    finally:
        records.close()


def _records(
    batch: Batch, job: BatchJob, todo: Sequence[Unit], journal: Journal
) -> Generator[Record | ModelLoaded | str | None, None, None]:
    assert journal.header is not None
    overwrite = journal.header["overwrite"]

    def begin(name: str) -> None:
        """Record that files are written; only files of a killed run are replaced."""
        if name not in journal.begun and not overwrite:
            refuse_existing(
                [job.output.folder / f for f in job.output.files(name)], overwrite=False
            )
        journal.begin(name)

    if batch.scheduler:
        from napari_wildseg.batch.workers.distributed import run_distributed

        yield from run_distributed(job, todo, batch.scheduler, begin=begin)
    else:
        workers = batch.workers or default_workers()
        yield from run_local(job, todo, workers=workers, begin=begin)


def _is_done(journal: Journal, item: WorkItem, job: BatchJob, reviewed: set[str]) -> bool:
    """Whether an image has its files, and was segmented with this memory or reviewed.

    A failed image counts as not done.
    """
    record = journal.records.get(item.name)
    if record is None or record.failure or record.image != item.path:
        return False
    memory = "" if job.memory is None else job.memory.short
    if record.memory != memory and item.name not in reviewed:
        return False
    return all((job.output.folder / file).exists() for file in record.files)


def _finish(job: BatchJob, batch: Batch, items: Sequence[WorkItem], journal: Journal) -> Report:
    records = tuple(journal.records[item.name] for item in items)
    done = [record for record in records if not record.failure]
    gone = [file for record in done for file in record.files if not (batch.folder / file).exists()]
    if gone:
        raise WildsegError(
            f"{len(gone)} files of images that were done are not there any more, {gone[0]} first: "
            "go on with --resume to make them again."
        )
    files = job.output.finish(done, job.plan.classes)
    memory: dict[str, Any] = {} if job.memory is None else {"memory": job.memory.digest}
    if left_out := (journal.header or {}).get("not_remembered"):
        memory["not_remembered"] = left_out
    report = Report(
        records,
        job.plan.classes,
        batch.format,
        {**batch.settings.to_json(), **memory},
        tuple(files),
        origins_of(journal.header or {}),
    )
    report.write(batch.folder)
    written = [*files, *(file for record in done for file in record.files)]
    for place in {batch.folder, journal.path.parent, *((batch.folder / f).parent for f in written)}:
        remove_leftovers(place)
    journal.compact([item.name for item in items])
    return report
