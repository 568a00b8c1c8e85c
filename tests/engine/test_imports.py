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


def modules(room):
    return sorted((PACKAGE / room).rglob("*.py"))


def imported(path):
    """Every module that a file's import statements name, wherever they stand."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def named(path):
    return str(path.relative_to(PACKAGE))


# People look for `save` on what they want to save, so a result and a memory reach up to the files:
# when it is called, and nowhere else. These are the only arrows that go the other way.
EXCEPTIONS = {
    "engine/result.py": ("napari_wildseg.io.save_result", {"save_result"}),
    "engine/memory/class_memory.py": (
        "napari_wildseg.io.memory_file",
        {"load_memory", "save_memory"},
    ),
}


@pytest.mark.parametrize("path", modules("engine"), ids=named)
def test_engine_modules_import_nothing_of_a_window(path):
    names = set(imported(path))
    assert not {n.split(".")[0] for n in names} & WINDOWS
    above = tuple(f"napari_wildseg.{room}" for room in ("cli", "gui", "batch", "io"))
    module, called = EXCEPTIONS.get(path.relative_to(PACKAGE).as_posix(), ("", set()))
    reached = {n for n in names if n.startswith(above)}
    assert reached == {module, *(f"{module}.{name}" for name in called)} - {""}


def test_the_exceptions_are_made_only_when_they_are_called():
    code = (
        "import sys, napari_wildseg.engine.result, napari_wildseg.engine.memory; "
        "print('napari_wildseg.io' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("path", modules("io"), ids=named)
def test_io_modules_import_nothing_of_a_window_or_a_network(path):
    names = set(imported(path))
    assert not {n.split(".")[0] for n in names} & (WINDOWS | {"torch", "timm", "open_clip"})
    above = tuple(f"napari_wildseg.{room}" for room in ("cli", "gui", "batch"))
    assert not [n for n in names if n.startswith(above)]


@pytest.mark.parametrize("path", modules("batch"), ids=named)
def test_batch_modules_import_nothing_of_a_window(path):
    names = set(imported(path))
    assert not {n.split(".")[0] for n in names} & WINDOWS
    above = tuple(f"napari_wildseg.{room}" for room in ("cli", "gui"))
    assert not [n for n in names if n.startswith(above)]


@pytest.mark.parametrize("path", modules("process"), ids=named)
def test_the_engine_process_imports_nothing_of_a_window(path):
    names = set(imported(path))
    assert not {n.split(".")[0] for n in names} & WINDOWS
    above = tuple(f"napari_wildseg.{room}" for room in ("cli", "gui", "batch"))
    assert not [n for n in names if n.startswith(above)]


@pytest.mark.parametrize("name", ["client", "remote"])
def test_the_windows_side_of_the_engine_process_loads_no_torch(name):
    code = f"import sys, napari_wildseg.process.{name}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("path", modules("cli"), ids=named)
def test_the_command_imports_no_window(path):
    assert not [n for n in imported(path) if n.startswith("napari_wildseg.gui")]


def test_segmenting_loads_no_window():
    """Not only the import: a whole run, in an interpreter of its own."""
    code = """
import sys
import numpy as np
import napari_wildseg as ws
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
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=600
    )
    loaded = set(done.stdout.split())
    assert "torch" in loaded
    assert not loaded & WINDOWS
    assert "open_clip" in loaded
    assert "torch._dynamo" not in loaded, "the compiler takes seconds and is not needed"
