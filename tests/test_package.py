"""The package as installed: import cost, public names, files, entry points."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points, requires, version
from importlib.resources import files
from pathlib import Path

import pytest

import napari_wildseg

ROOT = Path(__file__).parent.parent


def run_python(code):
    """Run code in a fresh interpreter and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=600
    )
    return done.stdout


def heavy_modules_after(statement):
    code = (
        f"import sys; {statement}; "
        "import json; print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    )
    loaded = set(json.loads(run_python(code)))
    return loaded & {"torch", "napari", "qtpy", "PyQt6", "PySide6", "numpy", "scipy", "open_clip"}


def test_importing_the_package_loads_nothing_heavy():
    assert heavy_modules_after("import napari_wildseg") == set()


def test_importing_the_package_is_quick():
    code = (
        "import time; start = time.process_time(); import napari_wildseg; "
        "print(time.process_time() - start)"
    )
    assert min(float(run_python(code)) for _ in range(3)) < 0.15


def test_the_command_starts_without_heavy_modules():
    assert (
        heavy_modules_after("from napari_wildseg.cli.main import build_parser as b; b()") == set()
    )


def test_io_needs_neither_torch_nor_a_window():
    loaded = heavy_modules_after("import napari_wildseg.io, napari_wildseg.io.overlay")
    assert not loaded & {"torch", "napari", "qtpy", "PyQt6", "PySide6", "open_clip"}


def test_public_names():
    assert napari_wildseg.__all__ == [
        "ClassInfo",
        "ClassMemory",
        "InputError",
        "LargeImage",
        "LargeSegmenter",
        "Result",
        "Segmenter",
        "WildsegError",
        "__version__",
        "parse_classes",
        "refine",
    ]
    for name in napari_wildseg.__all__:
        assert getattr(napari_wildseg, name) is not None
        assert name in dir(napari_wildseg)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        napari_wildseg.nothing  # noqa: B018


def test_version_is_that_of_the_distribution():
    assert napari_wildseg.__version__ == version("napari-wildseg")


def test_base_dependencies_bring_no_qt_binding():
    base = [line for line in requires("napari-wildseg") if "extra ==" not in line]
    assert not [line for line in base if "pyqt" in line.lower() or "pyside" in line.lower()]
    assert not [line for line in base if line.startswith("napari[")]
    assert any("extra ==" in line and "pyqt6" in line for line in requires("napari-wildseg"))


def test_every_dependency_says_why():
    lines = (ROOT / "pyproject.toml").read_text("utf-8").splitlines()
    start = lines.index("dependencies = [") + 1
    entries = lines[start : lines.index("]", start)]
    assert len(entries) == len(tomllib.loads("\n".join(lines))["project"]["dependencies"])
    assert all(" # " in entry for entry in entries)


def test_floors_are_the_versions_that_are_tested():
    """pyproject.toml, the environment of lowest versions, and conda's file say the same."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    floors = dict(line.split(">=") for line in wanted if ">=" in line)
    pins = (ROOT / ".ci" / "lowest.txt").read_text("utf-8").split()
    assert dict(pin.split("==") for pin in pins if "==" in pin) == floors
    conda = (ROOT / "environment.yml").read_text("utf-8")
    names = {"torch": "pytorch", "open_clip_torch": "open-clip-torch"}
    for name, floor in floors.items():
        assert f"- {names.get(name, name)} >={floor}\n" in conda


def test_entry_points():
    (script,) = (e for e in entry_points(group="console_scripts") if e.name == "wildseg")
    assert script.value == "napari_wildseg.cli.main:main"
    (manifest,) = (e for e in entry_points(group="napari.manifest") if e.name == "napari-wildseg")
    assert manifest.value == "napari_wildseg:napari.yaml"
    assert files("napari_wildseg").joinpath("napari.yaml").is_file()


def test_the_manifest_is_seen_at_the_top_of_the_tree():
    link = ROOT / "napari.yaml"
    assert link.read_bytes() == (ROOT / "src/napari_wildseg/napari.yaml").read_bytes()


def test_module_and_script_are_the_same():
    before = os.times()
    done = subprocess.run(
        [sys.executable, "-m", "napari_wildseg", "--version"], capture_output=True, text=True
    )
    assert done.stdout == f"wildseg {napari_wildseg.__version__}\n"
    assert done.returncode == 0
    after = os.times()  # the processor's: a busy machine makes no slow command
    assert after.children_user - before.children_user < 2
