"""The window changes nothing of napari, Qt, vispy, PyTorch or Python, but in `gui/compat.py`."""

from __future__ import annotations

import ast
import re
from pathlib import Path

GUI = Path(__file__).parents[2] / "src" / "napari_wildseg" / "gui"
MODULES = [path for path in sorted(GUI.rglob("*.py")) if path.name != "compat.py"]
HOST = re.compile(
    r"gc\.|setswitchinterval|meta_path|_qt_viewer|_overlays|create_vispy_layer|GlirParser"
    r"|UpdateRequest|sys\.modules\[|__dict__|vars\(|setattr\(Labels|import torch"
)


def reached(path: Path) -> list[str]:
    """Return where a module reaches into what is not its own."""
    text = path.read_text()
    found = HOST.findall(text)
    for node in ast.walk(ast.parse(text)):
        private = isinstance(node, ast.Attribute) and re.fullmatch(r"_[a-z]\w*", node.attr)
        own = private and isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
        asked = isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "setattr")
        asked = asked and re.match(r"'_[a-z]", ast.unparse(node.args[1]))
        if (private and not own) or asked:
            found.append(ast.unparse(node))
    return found


def test_nothing_of_the_host_is_reached_into():
    found = {path.relative_to(GUI).as_posix(): reached(path) for path in MODULES}
    assert len(found) > 40
    assert {name: where for name, where in found.items() if where} == {}
