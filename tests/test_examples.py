"""The examples of the documentation run, in a folder of their own."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "docs" / "examples").glob("*.py"))
WRITES = {
    "photograph": ["coffee.png", "coffee.tif"],
    "folder": ["dataset"],
    "memory": ["cells.wildmemory"],
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_and_writes_what_it_says(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path))
    assert all((tmp_path / name).exists() for name in WRITES[path.stem])
    assert capsys.readouterr().out.count("\n") >= 2
