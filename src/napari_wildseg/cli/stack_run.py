"""``wildseg segment`` for stacks and movies."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wildseg.cli.arguments import make_segmenter
from napari_wildseg.cli.console import format_table, print_json, print_line, print_notice, run_steps

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_wildseg.engine.classes import ClassInfo
    from napari_wildseg.engine.memory import ClassMemory
    from napari_wildseg.engine.result import Result
    from napari_wildseg.io.lazy import LazyPicture


class _Planes:
    """The planes of a stack as a lazy sequence."""

    def __init__(self, picture: LazyPicture) -> None:
        self._picture = picture

    def __len__(self) -> int:
        return self._picture.planes

    def __getitem__(self, number: int) -> NDArray[Any]:
        import numpy as np

        plane = np.asarray(self._picture.plane(number)[0])
        return np.moveaxis(plane, 0, -1) if self._picture.channel_axis == 0 else plane


def segment_stack(
    args: argparse.Namespace,
    picture: LazyPicture,
    classes: tuple[ClassInfo, ...],
    stem: str,
    background: tuple[str, ...],
    memory: ClassMemory | None,
) -> int:
    """Segment every plane of a stack into OME-Zarr."""
    import numpy as np

    from napari_wildseg.engine.errors import InputError
    from napari_wildseg.engine.stacks.segment_stack import segment_stack_steps
    from napari_wildseg.io.formats.label_tiles import labels_on_disk

    path = args.out / f"{stem}.zarr"
    if path.resolve() == Path(args.image).resolve():
        raise InputError(
            "The result would replace the stack itself: choose another folder with --out."
        )
    if args.detail:
        raise InputError("--detail is for single images: a stack is segmented plane by plane.")
    corrections = None
    if args.corrections is not None:
        corrections = _read_stack_corrections(args.corrections, picture, [c.id for c in classes])
    axes = picture.axes.replace("c", "")
    shape = [n for n, a in zip(picture.levels[0].shape, picture.axes, strict=True) if a != "c"]
    counts = np.zeros((picture.planes, 256), np.int64)
    segmenter = make_segmenter(args, background=background, memory=memory)
    with labels_on_disk(
        path,
        shape,
        classes,
        axes=axes,
        scale=picture.scale,
        units=picture.units,
        image=stem,
        overwrite=args.overwrite,
    ) as written:

        def write(number: int, result: Result) -> None:
            labels = result.pseudo_labels if args.no_refine else result.labels
            written.array[np.unravel_index(number, shape[:-2])] = labels
            written.set_origin(result)
            counts[number] = np.bincount(labels.ravel(), minlength=256)

        run_steps(
            segment_stack_steps(
                segmenter,
                _Planes(picture),
                classes,
                write,
                corrections=corrections,
                threshold=args.threshold,
            )
        )
        settings = dict(written.settings)
    _report(args, classes, counts, stem, path, settings)
    return 0


def _read_stack_corrections(
    path: Path, picture: LazyPicture, ids: list[int]
) -> dict[int, NDArray[np.int16]]:
    """Read the corrections of a stack; return ``(H, W)`` int16 by plane number.

    Planes without corrections are left out.
    """
    import numpy as np

    from napari_wildseg.engine.corrections import checked_corrections
    from napari_wildseg.engine.errors import InputError
    from napari_wildseg.engine.pictures.picture_files import check_readable, reason

    check_readable(path)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path.name} is no .npy of corrections ({reason(error)}): corrections of a stack are "
            "an .npy of its shape."
        ) from error
    shape = tuple(
        int(n) for n, a in zip(picture.levels[0].shape, picture.axes, strict=True) if a != "c"
    )
    if array.shape != shape:
        raise InputError(
            f"The corrections have shape {array.shape}, the stack {shape}: they must be the same."
        )
    found = {}
    for number, plane in enumerate(array.reshape(-1, *shape[-2:])):
        checked = checked_corrections(plane, (shape[-2], shape[-1]), ids)
        if (checked >= 0).any():
            found[number] = checked
    return found


def _report(
    args: argparse.Namespace,
    classes: tuple[ClassInfo, ...],
    counts: NDArray[np.int64],
    stem: str,
    path: Path,
    settings: dict[str, Any],
) -> None:
    from napari_wildseg.cli.result_files import class_summary

    total = counts.sum(0)
    for info in classes:
        if not total[info.id]:
            print_notice(
                f'"{info.name}" got no pixels: it may not be in the stack, or needs other words.'
            )
    if args.json:
        print_json(
            {
                "image": stem,
                "planes": len(counts),
                "classes": [
                    {**entry, "pixels_by_plane": counts[:, entry["id"]].tolist()}
                    for entry in class_summary(classes, total, int(total.sum()))
                ],
                "settings": settings,
                "files": {"labels": str(path)},
            }
        )
        return
    rows = [
        [
            info.name,
            str(info.id),
            f"{100 * total[info.id] / total.sum():.1f} %",
            str(int((counts[:, info.id] > 0).sum())),
        ]
        for info in classes
    ]
    print_line(format_table(["class", "label", "share", "planes"], rows))
    print_line()
    print_line(f"labels:  {path}")
