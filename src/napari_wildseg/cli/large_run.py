"""``wildseg segment`` for large images, by windows and tiles."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wildseg.cli.console import print_json, print_notice, run_steps

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_wildseg.engine.classes import ClassInfo
    from napari_wildseg.engine.large import LargeResult
    from napari_wildseg.engine.memory import ClassMemory
    from napari_wildseg.io.lazy import LazyPicture

_OVERLAY = 2048
"""Longest side of the overlay, in pixels."""


def segment_large(
    args: argparse.Namespace,
    picture: LazyPicture,
    classes: tuple[ClassInfo, ...],
    stem: str,
    background: tuple[str, ...],
    memory: ClassMemory | None,
) -> int:
    """Segment one large image, tile by tile, into a PNG or OME-Zarr."""
    from napari_wildseg.cli import result_files
    from napari_wildseg.engine.errors import InputError
    from napari_wildseg.engine.large import LargeImage, LargeSegmenter
    from napari_wildseg.io import LabelImage, write_labels
    from napari_wildseg.io.atomic import atomic_path
    from napari_wildseg.io.formats.label_tiles import labels_on_disk
    from napari_wildseg.io.image_files import MAX_PIXELS_IN_MEMORY

    if args.refiner != "default":
        raise InputError(
            f'Large images are refined by "default", not "{args.refiner}": leave --refiner out, '
            "or make the image smaller."
        )
    if args.corrections is not None:
        raise InputError("--corrections is for stacks here; large images are corrected in napari.")
    image = LargeImage(picture.levels, channel_axis=picture.channel_axis)
    as_png = (
        not Path(args.image).is_dir() and image.shape[0] * image.shape[1] <= MAX_PIXELS_IN_MEMORY
    )
    paths = result_files.result_paths(args.out, stem) if as_png else _large_paths(args.out, stem)
    result_files.check_outputs(paths, [args.image, args.labels], overwrite=args.overwrite)
    segmenter = LargeSegmenter(
        args.model,
        views=args.views,
        method=args.method,
        device=args.device,
        background=background,
        detail=args.detail,
        memory=memory,
    )

    def run(out: Any) -> LargeResult:
        run_steps(segmenter.set_image_steps(image))
        return run_steps(
            segmenter.segment_steps(
                classes, threshold=args.threshold, out=out, refine=not args.no_refine
            )
        )

    about: dict[str, Any] = {"scale": picture.scale, "units": picture.units, "image": stem}
    if as_png:
        result = run(None)
        overlay = _overlay(segmenter.overview(_OVERLAY), result.labels, classes)
        labels = LabelImage.from_result(result, **about)
        with atomic_path(paths["overlay"], overwrite=args.overwrite) as temporary:
            temporary.write_bytes(overlay)
            write_labels(paths["labels"], labels, format="png", overwrite=args.overwrite)
    else:
        opened = labels_on_disk(
            paths["labels"], image.shape, classes, overwrite=args.overwrite, **about
        )
        with (
            atomic_path(paths["overlay"], overwrite=args.overwrite) as temporary,
            opened as written,
        ):
            result = run(written.array)
            written.set_origin(result)
            overlay = _overlay(segmenter.overview(_OVERLAY), written.array, classes)
            temporary.write_bytes(overlay)
    for notice in result.notices:
        print_notice(notice)
    _report(args, result, stem, image.shape, paths)
    return 0


def _large_paths(folder: Path, stem: str) -> dict[str, Path]:
    """Return the output files of a large image."""
    return {"labels": folder / f"{stem}.zarr", "overlay": folder / f"{stem}.overlay.png"}


def _overlay(rgb: NDArray[np.uint8], labels: Any, classes: tuple[ClassInfo, ...]) -> bytes:
    from napari_wildseg.engine.large.sampling import sample_labels
    from napari_wildseg.io.overlay import overlay_png

    return overlay_png(rgb, sample_labels(labels, rgb.shape[:2]), classes)


def _report(
    args: argparse.Namespace,
    result: LargeResult,
    stem: str,
    shape: tuple[int, int],
    paths: dict[str, Path],
) -> None:
    from napari_wildseg.cli import result_files

    size = shape[0] * shape[1]
    if args.json:
        print_json(
            {
                "image": stem,
                "image_size": {"height": shape[0], "width": shape[1]},
                "classes": result_files.class_summary(result.classes, result.counts, size),
                "model": result.model,
                "settings": result.settings,
                "files": {key: str(path) for key, path in paths.items()},
                "notices": list(result.notices),
                "seconds": {key: round(value, 4) for key, value in result.seconds.items()},
            }
        )
        return
    result_files.print_classes(result.classes, result.counts, size, paths)
