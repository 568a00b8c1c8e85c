"""Measure a model on PASCAL VOC, and write the table and a page of pictures.

    python scripts/clip_report.py VOC --model ViT-B-16/openai --out report [--images N]

Every method, view preset and refiner that is asked for is measured on one set (PASCAL VOC as it is
distributed, or any folder that `wildseg evaluate` reads), with the labels of each image known, as
the published figures for weak supervision are. ``report.md`` has the table, the published figures
beside it; ``report.json`` the figures alone; ``index.html`` shows some images with the labels of
each method. Rows that are done stay when a run breaks off, and are not measured again.
"""

from __future__ import annotations

import argparse
import html
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image

from napari_wildseg.engine.errors import WildsegError
from napari_wildseg.engine.models import load_model
from napari_wildseg.engine.models.clip_model import CLIPModel
from napari_wildseg.engine.segmenter import Segmenter
from napari_wildseg.evaluation import EvaluationSet, evaluate, open_set
from napari_wildseg.evaluation.evaluate import spread_evenly
from napari_wildseg.io.overlay import draw_overlay

PUBLISHED = {
    "clip-es": "70.8 (75.0 with a CRF) on VOC 2012 train, ViT-B/16 of OpenAI, labels known "
    "(Lin et al., CVPR 2023)",
    "attention": "none with this method alone; Grad-CAM 41.1 in the pipeline of CLIP-ES "
    "(Lin et al., CVPR 2023)",
    "dense": "59.6 to 67.9 on VOC 2012 val with background, ViT-B/16, labels not known "
    "(SCLIP, ClearCLIP, ITACLIP, 2023-24)",
}
"""mIoU in percent; each was measured with its authors' own views, templates and thresholds."""

Row = dict[str, object]


def settings(
    methods: Sequence[str], views: Sequence[str], refiners: Sequence[str]
) -> Iterator[tuple[str, str, str]]:
    """Every combination, encodings that can be used again one after another."""
    for method in methods:
        for preset in views:
            for refiner in refiners:
                yield method, preset, refiner


def measure(
    model: CLIPModel, data: EvaluationSet, method: str, views: str, refiner: str, limit: int | None
) -> Row:
    """Figures of one setting."""
    segmenter = Segmenter(model, method=method, views=views, refiner=refiner)
    found = evaluate(segmenter, data, limit=limit)
    return {
        "method": method,
        "views": views,
        "refiner": refiner,
        "images": found.images,
        "miou": found.miou,
        "stages": found.stages,
        "boundary_f": found.boundary_f,
        "image_miou": found.image_miou,
        "seconds": sum(found.seconds.get(part, 0.0) for part in ("encode", "relevance", "refine")),
    }


def table(rows: Sequence[Row]) -> str:
    """The figures as a table in Markdown."""
    lines = [
        "| method | views | refiner | mIoU | without the refiner | boundary F | s an image |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        stages = row["stages"]
        assert isinstance(stages, dict)
        cells = [
            f"`{row['method']}`", row["views"], f"`{row['refiner']}`", f"{row['miou']:.3f}",
            f"{stages['augmented']:.3f}", f"{row['boundary_f']:.3f}", f"{row['seconds']:.1f}",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def report(rows: Sequence[Row], model: str, folder: Path) -> str:
    """The whole page in Markdown."""
    methods = dict.fromkeys(str(row["method"]) for row in rows)
    published = [f"* `{name}`: {PUBLISHED[name]}." for name in methods if name in PUBLISHED]
    images = max((int(str(row["images"])) for row in rows), default=0)
    parts = [
        f"# {model} on {folder.name}",
        f"{images} images, the labels of each known; mIoU as `wildseg evaluate` computes it.",
        table(rows),
        "Published figures (mIoU in percent), for comparison; views, templates and thresholds "
        "are their authors':",
        "\n".join(published) or "* none.",
    ]
    return "\n\n".join(parts) + "\n"


def pictures(
    model: CLIPModel, data: EvaluationSet, methods: Sequence[str], views: str, count: int, out: Path
) -> None:
    """Some images with the labels of each method and the true ones, as a page."""
    rows = []
    (out / "pictures").mkdir(parents=True, exist_ok=True)
    for number, item in enumerate(spread_evenly(data.items, count)):
        mask, image = item.mask(), item.image()
        known = item.known(mask)
        if not known:
            continue
        shown = [("image", Image.fromarray(image))]
        for method in methods:
            segmenter = Segmenter(model, method=method, views=views)
            segmenter.set_image(image)
            result = segmenter.segment([info.name for info in known])
            shown.append((method, draw_overlay(image, result.labels, result.classes)))
        cells = []
        for title, picture in shown:
            name = f"{number:03d}-{title}.png"
            picture.save(out / "pictures" / name)
            shown_as = f'<img src="pictures/{name}" width="280"><br>{html.escape(title)}'
            cells.append(f"<td>{shown_as}</td>")
        names = html.escape(f"{item.stem}: {', '.join(info.name for info in known)}")
        rows.append(f"<tr><th>{names}</th></tr><tr>{''.join(cells)}</tr>")
    page = f"<!doctype html><meta charset='utf-8'><title>{html.escape(model.name)}</title>"
    (out / "index.html").write_text(f"{page}<table>{''.join(rows)}</table>\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="PASCAL VOC, or a set that evaluate reads")
    parser.add_argument("--model", default="ViT-B-16/openai")
    parser.add_argument("--split", default="val")
    parser.add_argument("--images", type=int, help="at most this many, evenly spread")
    parser.add_argument("--methods", nargs="+", default=["clip-es", "attention", "dense"])
    parser.add_argument("--views", nargs="+", default=["single", "default", "best"])
    parser.add_argument("--refiners", nargs="+", default=["default", "random_walker"])
    parser.add_argument("--pictures", type=int, default=12)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=Path("clip_report"))
    given = parser.parse_args(arguments)
    try:
        data = open_set(given.folder, given.split)
        model = load_model(given.model, device=given.device)
        for notice in model.notices:
            print(notice, file=sys.stderr)
        given.out.mkdir(parents=True, exist_ok=True)
        kept = given.out / "report.json"
        about = {"model": model.fingerprint, "split": given.split, "images": given.images}
        rows: list[Row] = []
        if kept.is_file():
            before = json.loads(kept.read_text(encoding="utf-8"))
            if before.get("about") == about:
                rows = before["rows"]
        done = {(row["method"], row["views"], row["refiner"]) for row in rows}
        for setting in settings(given.methods, given.views, given.refiners):
            if setting in done:
                continue
            rows.append(measure(model, data, *setting, given.images))
            kept.write_text(json.dumps({"about": about, "rows": rows}, indent=1), encoding="utf-8")
            text = report(rows, given.model, given.folder)
            (given.out / "report.md").write_text(text, encoding="utf-8")
            print(table(rows[-1:]).splitlines()[-1], flush=True)
        pictures(model, data, given.methods, given.views[0], given.pictures, given.out)
    except (WildsegError, OSError) as error:
        print(f"clip_report: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
