"""Arrows of import: the engine knows neither napari nor Qt, and nothing of the rooms above it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import napari_wildseg

PACKAGE = Path(napari_wildseg.__file__).parent
WINDOWS = {"napari", "qtpy", "PyQt5", "PyQt6", "PySide2", "PySide6", "magicgui", "superqt", "vispy"}


def imported(path):
    """Every module that a file's import statements name, wherever they stand."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


# People look for `save` on what they want to save, so a result and a memory reach up to the files:
# when it is called, and nowhere else. These are the only arrows that go the other way.
EXCEPTIONS = {
    "engine/result.py": ("napari_wildseg.io.save_result", {"save_result"}),
    "engine/memory/class_memory.py": (
        "napari_wildseg.io.memory_file",
        {"load_memory", "save_memory"},
    ),
}


ABOVE = {
    "engine": ("cli", "gui", "batch", "io"),
    "io": ("cli", "gui", "batch"),
    "process": ("cli", "gui", "batch"),
    "batch": ("cli", "gui"),
    "evaluation": ("cli", "gui"),
    "cli": ("gui",),
}


@pytest.mark.parametrize("room", ABOVE)
def test_imports_point_down(room):
    kept_out = set() if room == "cli" else WINDOWS
    if room == "io":
        kept_out = kept_out | {"torch", "timm", "open_clip"}
    above = tuple(f"napari_wildseg.{other}" for other in ABOVE[room])
    for path in sorted((PACKAGE / room).rglob("*.py")):
        names = set(imported(path))
        assert not {name.split(".")[0] for name in names} & kept_out, path
        module, called = EXCEPTIONS.get(path.relative_to(PACKAGE).as_posix(), ("", set()))
        reached = {name for name in names if name.startswith(above)}
        assert reached == {module, *(f"{module}.{name}" for name in called)} - {""}, path


@pytest.mark.parametrize("name", ["client", "remote"])
def test_the_windows_side_of_the_engine_process_loads_no_torch(name):
    code = f"import sys, napari_wildseg.process.{name}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_segmenting_loads_no_window():
    """Not only the import: a whole run, in an interpreter of its own."""
    code = """
import importlib, sys
import numpy as np
import napari_wildseg as ws
import napari_wildseg.engine.result, napari_wildseg.engine.memory
assert "napari_wildseg.io" not in sys.modules, "the exceptions are made only when they are called"
from napari_wildseg.engine.models import load_model
from napari_wildseg.engine.models.light_import import allow
allow()  # as the command line and the engine process do
from napari_wildseg.engine.models.architecture import builtin_architecture, unsupported
seeds = np.full((24, 24), 255)
seeds[2, 2], seeds[20, 20] = 0, 1
for method in ("default", "random_walker"):
    ws.refine(np.eye(24) / 2, seeds, method=method)
ws.Segmenter()
load_model("starter")
for name in ("RN50", "ViT-B-32"):
    assert not unsupported(builtin_architecture(name)), name
ws.parse_classes("cat, dog")
print(*sorted({name.split(".")[0] for name in sys.modules} | {"torch._dynamo"} & {*sys.modules}))
for name in sys.argv[1:]:
    importlib.import_module(name)
print(*sorted({name.split(".")[0] for name in sys.modules}))
"""
    files = [path.relative_to(PACKAGE.parent) for path in (PACKAGE / "engine").rglob("[!_]*.py")]
    names = [".".join(path.with_suffix("").parts) for path in files]
    assert "napari_wildseg.engine.segmenter" in names
    done = subprocess.run(
        [sys.executable, "-c", code, *names],
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    loaded, with_all = (set(line.split()) for line in done.stdout.splitlines())
    assert "torch" in loaded
    assert not with_all & WINDOWS
    assert "open_clip" in loaded
    assert "torch._dynamo" not in loaded, "the compiler takes seconds and is not needed"
