"""Progress, tables and text on a terminal."""

from __future__ import annotations

import io
import json
import sys

import numpy as np
import pytest

from napari_wildseg.cli.console import format_table, print_json, print_line, print_notice, run_steps
from napari_wildseg.engine.progress import Progress


class Terminal(io.StringIO):
    """A stderr that says it is a terminal."""

    def isatty(self):
        return True


def job(closed, fail=None):
    try:
        for n in range(3):
            yield Progress(n, 3, f"Encoding view {n + 1} of 3")
        if fail:
            raise fail
    finally:
        closed.append(True)
    return "done"


def test_a_bar_on_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    closed = []
    assert run_steps(job(closed)) == "done"
    shown = terminal.getvalue()
    for n, percent in enumerate(("0%", "33%", "67%"), start=1):
        assert any(
            f"Encoding view {n} of 3" in frame and percent in frame for frame in shown.split("\r")
        )
    assert shown.split("\r")[-1].strip() == ""  # nothing is left behind


def test_silence_elsewhere(capsys):
    assert run_steps(job([])) == "done"
    assert capsys.readouterr() == ("", "")


def test_an_interrupted_job_is_closed(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    closed = []
    with pytest.raises(KeyboardInterrupt):
        run_steps(job(closed, KeyboardInterrupt()))
    assert closed == [True]


def test_tables():
    shown = format_table(["class", "IoU"], [["cat", "0.91"], ["cup", "0.8"]])
    assert shown.splitlines() == ["class   IoU", "cat    0.91", "cup     0.8"]


def test_json_is_ascii_and_takes_numpy(capsys):
    print_json({"größe": np.float32(0.5)})
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out) == {"größe": 0.5}


def test_letters_the_terminal_lacks(monkeypatch):
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", narrow)
    monkeypatch.setattr(sys, "stderr", narrow)
    print_line("漢")
    print_notice("ö")
    narrow.flush()
    assert narrow.buffer.getvalue() == b"\\u6f22\nwildseg: \\xf6\n"
