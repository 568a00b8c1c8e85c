"""The report on a real set, tried on a tiny one with the small trained ViT."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_wildseg.engine.models.architecture import builtin_architecture, unsupported

ROOT = Path(__file__).parents[1]
MODEL = str(ROOT / "tests" / "data" / "tiny_clip.safetensors")


def script(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def voc(tmp_path):
    """Two pictures in the layout of PASCAL VOC: a red disc and a blue one on grey."""
    base = tmp_path / "VOC2012"
    for part in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (base / part).mkdir(parents=True)
    y, x = np.mgrid[:96, :96]
    disc = (y - 48) ** 2 + (x - 40) ** 2 < 24**2
    for number, colour in ((1, (220, 30, 30)), (2, (30, 40, 220))):
        image = np.full((96, 96, 3), 128, np.uint8)
        image[disc] = colour
        Image.fromarray(image).save(base / "JPEGImages" / f"{number}.jpg")
        mask = Image.fromarray((disc * number).astype(np.uint8))
        mask.save(base / "SegmentationClass" / f"{number}.png")
    (base / "ImageSets" / "Segmentation" / "val.txt").write_text("1\n2\n")
    lines = ["# label:color_rgb:parts:actions", "background:0,0,0::", "red circle:1,0,0::"]
    (base / "labelmap.txt").write_text("\n".join([*lines, "blue circle:0,0,1::"]))
    return base


def test_the_report_of_a_tiny_set(voc, tmp_path, capsys):
    module, out = script("clip_report"), tmp_path / "report"
    arguments = [str(voc), "--model", MODEL, "--out", str(out), "--views", "single"]
    arguments += ["--refiners", "default", "--pictures", "1", "--device", "cpu"]
    assert module.main([*arguments, "--methods", "clip-es"]) == 0
    (row,) = json.loads((out / "report.json").read_text())["rows"]
    assert row["images"] == 2
    assert row["miou"] > 0.6
    assert f"| `clip-es` | single | `default` | {row['miou']:.3f} |" in capsys.readouterr().out
    row["miou"] = 0.123  # what was measured is not measured again
    kept = json.loads((out / "report.json").read_text())
    kept["rows"] = [row]
    (out / "report.json").write_text(json.dumps(kept))
    assert module.main([*arguments, "--methods", "clip-es", "dense"]) == 0
    text = (out / "report.md").read_text()
    assert "| `clip-es` | single | `default` | 0.123 |" in text
    assert "| `dense` | single | `default` |" in text
    assert "70.8 (75.0 with a CRF)" in text
    page = (out / "index.html").read_text()
    for name in ("image", "clip-es", "dense"):
        assert f"pictures/000-{name}.png" in page
        assert (out / "pictures" / f"000-{name}.png").is_file()


def test_a_set_that_is_none_is_one_sentence(tmp_path, capsys):
    assert script("clip_report").main([str(tmp_path / "nothing"), "--model", MODEL]) == 2
    assert capsys.readouterr().err.startswith("clip_report: There is no folder")


def test_the_list_of_architectures_is_of_this_program():
    """A few of each answer, checked against the page that `scripts/architectures.py` writes."""
    pytest.importorskip("transformers")
    page = (ROOT / "docs" / "architectures.md").read_text(encoding="utf-8")
    for name in ("PE-Core-T-16-384", "coca_ViT-B-32", "roberta-ViT-B-32"):
        assert f"`{name}`" in page
        assert unsupported(builtin_architecture(name)) is None
    assert f"* {unsupported(builtin_architecture('swin_base_patch4_window7_224'))}" in page
