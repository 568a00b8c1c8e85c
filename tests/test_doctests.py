"""The examples in docstrings do what they say."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import napari_wildseg

PACKAGE = Path(napari_wildseg.__file__).parent
MODULES = [
    ".".join(("napari_wildseg", *path.relative_to(PACKAGE).with_suffix("").parts))
    for part in ("engine", "io", "batch", "cli")
    for path in sorted((PACKAGE / part).rglob("*.py"))
    if ">>>" in path.read_text("utf-8")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(import_module(name.removesuffix(".__init__")))
    assert found.attempted > 0
    assert found.failed == 0
