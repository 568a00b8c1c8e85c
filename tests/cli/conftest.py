"""Running the command inside the test process."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from napari_wildseg.cli.main import main


@dataclass
class Ran:
    """What a command returned and printed."""

    status: int
    out: str
    err: str


@pytest.fixture
def wildseg(capsys, tmp_path, monkeypatch):
    """Call ``wildseg`` with arguments, in a folder of this test."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        status = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Ran(status, out, err)

    return call
