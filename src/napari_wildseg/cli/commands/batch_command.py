"""``wildseg batch``: segment many images into a data set with a report."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wildseg.cli import arguments

if TYPE_CHECKING:
    from napari_wildseg.batch import Report
    from napari_wildseg.batch.run_batch import BatchProgress

HELP = "segment a folder, pattern or list of images into a data set"

_LINE_EVERY = 10.0
"""Seconds between lines of progress if stderr is not a terminal."""

_SHOWN_FAILURES = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "source",
        metavar="DIR",
        nargs="?",
        help='a folder of pictures, a pattern in quotes ("scans/**/*.png"), or a text file with '
        "a path a line",
    )
    parser.add_argument(
        "--labels",
        metavar="NAMES",
        help='class names for all images ("cat, cup of coffee=cup|mug"), a .csv or .json file '
        "with the names of each image, or auto",
    )
    parser.add_argument(
        "--if-present",
        action="store_true",
        help="segment each image only into those of the names that the model finds in it",
    )
    parser.add_argument(
        "--format",
        default="png",
        metavar="F",
        help="png, voc, coco, tiff, ome-zarr, npz or yolo (default: png)",
    )
    parser.add_argument(
        "--corrected",
        type=Path,
        metavar="DIR",
        help="labels you made for some of the images (NAME.png as in the output, or the output of "
        "a reviewed batch): they are kept, and carried to the other planes of their stack",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with the batch that is in the output folder"
    )
    parser.add_argument(
        "--update",
        action="store_true",
        help="redo the images of the finished batch in the output folder that were not reviewed, "
        "with a class memory of those that were; needs --out alone",
    )
    parser.add_argument(
        "--mix-versions",
        action="store_true",
        help="with --resume: go on although another version of napari-wildseg, or other weights "
        "of the model, did the images before",
    )
    parser.add_argument(
        "--workers",
        type=arguments.positive,
        metavar="N",
        help="images at once on this machine (default: one a core)",
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="let the workers of a Dask scheduler do it: tcp://host:8786, or local:N for N "
        "processes of this machine",
    )
    arguments.add(parser, "--vocabulary", *arguments.MODEL, "--memory", "--cache-dir")
    arguments.add(parser, "--threshold", "--no-refine", "--out", "--overwrite", "--json")
    parser.add_argument(
        "--no-cache",
        action="store_true",
        help="do not keep encodings of the images in the output folder (.wildseg-batch/encodings, "
        "at most 8 GB): --update then takes as long as the batch",
    )
    parser.add_argument(
        "--objects",
        action="store_true",
        help="also write the objects of each image that is segmented whole, ids and a table, to "
        "the folder objects",
    )
    parser.add_argument("--progress-json", action="store_true", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Run a batch."""
    from napari_wildseg.batch import Batch, BatchSettings, batch_steps
    from napari_wildseg.batch.memory_in_use import ENCODINGS
    from napari_wildseg.cli.console import print_json, print_notice
    from napari_wildseg.engine.errors import InputError, WildsegError
    from napari_wildseg.engine.progress import drain

    if args.update and (args.source or args.labels):
        raise InputError(
            "--update takes images and classes from the batch: leave DIR and --labels out."
        )
    if not args.update and not (args.source and args.labels):
        raise InputError(
            "Say which images and which classes: wildseg batch DIR --labels NAMES --out DIR."
        )
    cache = args.cache_dir
    if cache is None and not args.no_cache:
        cache = args.out / ENCODINGS

    batch = Batch(
        source=args.source or "",
        labels=args.labels or "",
        folder=args.out,
        format=args.format,
        vocabulary=args.vocabulary,
        if_present=args.if_present,
        settings=BatchSettings(
            model=args.model,
            views=args.views,
            method=args.method,
            refiner=args.refiner,
            threshold=0.5 if args.threshold is None else args.threshold,
            refine=not args.no_refine,
            device=args.device,
            objects=args.objects,
        ),
        corrected=args.corrected,
        resume=args.resume,
        overwrite=args.overwrite,
        mix_versions=args.mix_versions,
        workers=args.workers,
        scheduler=args.scheduler,
        cache_dir=cache,
        memory=args.memory,
        update=args.update,
    )
    if args.progress_json and hasattr(os, "nice"):
        os.nice(5)  # lower priority than the window that started it
    rate = _Rate()
    steps = batch_steps(batch)
    try:
        with _progress(as_json=args.progress_json) as show:

            def look(progress: BatchProgress) -> None:
                rate.update(progress)
                show(progress, rate)

            report = drain(steps, look)  # type: ignore[arg-type]
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):
            print_notice(f"what is done is kept in {args.out}: --resume goes on")
        raise
    finally:
        steps.close()
    if args.json:
        print_json(_batch_summary(report, rate, str(args.out)))
    elif not args.progress_json:
        _print_report(report, rate, str(args.out))
    if not report.done:
        raise WildsegError(
            f"No image was done; the first says: {report.failed[0].failure} "
            f"The reasons are in {args.out}/report.csv."
        )
    return 0


class _Rate:
    """Images per second since the first image was started."""

    def __init__(self) -> None:
        self.images = 0
        self.seconds = 0.0
        self._started: float | None = None

    def update(self, progress: BatchProgress) -> None:
        """Take note of the batch's progress."""
        now = time.perf_counter()
        if self._started is None:
            self._started = now if progress.started else None
        self.images = progress.done - progress.resumed
        if self._started is not None:
            self.seconds = now - self._started

    @property
    def per_second(self) -> float | None:
        """Images per second; None before the first."""
        return self.images / self.seconds if self.images and self.seconds else None

    def left(self, progress: BatchProgress) -> float | None:
        """Estimated seconds for the remaining images; None if not known yet."""
        return (progress.total - progress.done) / self.per_second if self.per_second else None


@contextmanager
def _progress(*, as_json: bool) -> Iterator[Callable[[BatchProgress, _Rate], None]]:
    """Yield a function that shows progress: as JSON lines, a bar, or a line every 10 s."""
    from napari_wildseg.batch.job import STARTED
    from napari_wildseg.cli.console import print_notice

    if as_json:
        yield _show_json
    elif sys.stderr is not None and sys.stderr.isatty():
        from tqdm import tqdm

        layout = (
            "{desc}{percentage:3.0f}% |{bar:24}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}"
            ", {rate_noinv_fmt}]"
        )
        with tqdm(
            total=1, unit=" images", bar_format=layout, leave=False, file=sys.stderr, smoothing=0.1
        ) as bar:
            begun = False

            def show(progress: BatchProgress, rate: _Rate) -> None:
                nonlocal begun
                if not begun and progress.started:
                    begun = True  # loading the model does not count
                    bar.reset(total=progress.total)
                    bar.initial = progress.resumed
                if progress.record is not None and progress.record.failure:
                    with bar.external_write_mode(file=sys.stderr):
                        print_notice(_failure(progress.record))
                bar.n = progress.done
                failed = f"{progress.failed} failed " if progress.failed else ""
                stage = "" if progress.stage == STARTED else f"{progress.stage} "
                bar.set_description_str(failed + stage)

            yield show
    else:
        last = time.perf_counter()

        def line(progress: BatchProgress, rate: _Rate) -> None:
            nonlocal last
            if progress.record is not None and progress.record.failure:
                print_notice(_failure(progress.record))
            if time.perf_counter() - last >= _LINE_EVERY:
                last = time.perf_counter()
                print_notice(_progress_text(progress, rate))

        yield line


def _show_json(progress: BatchProgress, rate: _Rate) -> None:
    entry = {
        "done": progress.done,
        "total": progress.total,
        "failed": progress.failed,
        "stage": progress.stage,
        "images_per_second": rate.per_second,
        "seconds_left": rate.left(progress),
    }
    print(json.dumps(entry), flush=True)


def _progress_text(progress: BatchProgress, rate: _Rate) -> str:
    """Describe the progress of a batch in a line."""
    from napari_wildseg.batch.job import STARTED

    parts = [f"{progress.done} of {progress.total} images"]
    if progress.stage != STARTED:
        parts.append(progress.stage)
    if rate.per_second is not None:
        parts.append(f"{rate.per_second:.2f} images/s")
    left = rate.left(progress)
    if left is not None:
        parts.append(f"{_clock(left)} left")
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    return ", ".join(parts)


def _clock(seconds: float) -> str:
    """Format seconds as ``m:ss`` or ``h:mm:ss``.

    Examples
    --------
    >>> _clock(75), _clock(3700)
    ('1:15', '1:01:40')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _failure(record) -> str:  # type: ignore[no-untyped-def]
    return f"{Path(record.image).name} left out: {record.failure}"


def _batch_summary(report: Report, rate: _Rate, folder: str) -> dict[str, object]:
    """Return the object that ``--json`` prints."""
    return {
        "images": len(report.records),
        "done": len(report.done),
        "failed": [{"image": r.image, "reason": r.failure} for r in report.failed],
        "images_this_run": rate.images,
        "seconds": round(rate.seconds, 3),
        "images_per_second": rate.per_second,
        "format": report.format,
        "output": folder,
        "report": f"{folder}/report.json",
        "review_first": [record.name for record in report.review[:10]],
        "not_remembered": report.settings.get("not_remembered", {}),
    }


def _print_report(report: Report, rate: _Rate, folder: str) -> None:
    """Print the result of a batch."""
    from napari_wildseg.cli.console import format_table, print_line

    speed = f", {rate.per_second:.2f} images/s" if rate.per_second else ""
    print_line(f"{len(report.done)} of {len(report.records)} images done{speed}")
    if report.review:
        print_line()
        rows = [[r.name, f"{r.uncertainty.get('score', 0):.2f}"] for r in report.review[:5]]
        print_line(format_table(["look at first", "uncertainty"], rows))
    if left_out := report.settings.get("not_remembered"):
        print_line()
        print_line("reviewed, but not remembered:")
        for name, why in left_out.items():
            print_line(f"  {name}: {why}")
    if report.failed:
        print_line()
        print_line(f"{len(report.failed)} failed:")
        for record in report.failed[:_SHOWN_FAILURES]:
            print_line(f"  {record.image}: {record.failure}")
        if len(report.failed) > _SHOWN_FAILURES:
            print_line(f"  and {len(report.failed) - _SHOWN_FAILURES} more")
    print_line()
    print_line(f"labels: {folder}")
    print_line(f"report: {folder}/report.json, report.csv")
