"""The window changes nothing of napari, Qt, vispy, PyTorch or Python, but in `gui/compat.py`."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

GUI = Path(__file__).parents[2] / "src" / "napari_wildseg" / "gui"
MODULES = [path for path in sorted(GUI.rglob("*.py")) if path.name != "compat.py"]
HOST = re.compile(
    r"gc\.|setswitchinterval|meta_path|_qt_viewer|_overlays|create_vispy_layer|GlirParser"
    r"|UpdateRequest|sys\.modules\[|__dict__|vars\(|setattr\(Labels|import torch"
)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(GUI).as_posix())
def test_nothing_of_the_host_is_reached_into(path):
    text = path.read_text()
    assert not HOST.findall(text)
    for node in ast.walk(ast.parse(text)):
        private = isinstance(node, ast.Attribute) and re.fullmatch(r"_[a-z]\w*", node.attr)
        own = private and isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
        assert not private or own, f"line {node.lineno}: {ast.unparse(node)}"
        asked = isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "setattr")
        assert not asked or not ast.unparse(node.args[1]).startswith("'_")
