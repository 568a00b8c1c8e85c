"""``wildseg batch`` end to end."""

from __future__ import annotations

import json

import pytest

from ..batch.conftest import write_pictures


@pytest.fixture
def command(tmp_path, light_model):
    """Four pictures, one of them broken, and the command that does them."""
    write_pictures(tmp_path / "photos", 4, broken=1)
    return ("batch", "photos", "--labels", "cat, dog", "--model", light_model, "--views", "single")


def test_it_reports_what_it_did_and_what_failed(wildseg, command, tmp_path):
    ran = wildseg(*command, "--json")
    assert ran.status == 0
    summary = json.loads(ran.out)
    assert (summary["images"], summary["done"]) == (4, 3)
    assert [failed["image"] for failed in summary["failed"]] == [str(tmp_path / "photos/003.png")]
    assert summary["images_per_second"] > 0
    assert ran.err.splitlines() == [
        "wildseg: 003.png left out: 003.png is not a picture that can be read: "
        "convert it to PNG, JPEG or TIFF."
    ]
    again = wildseg(*command)
    assert (again.status, again.err.count("\n")) == (2, 1)
    assert "--resume" in again.err
    resumed = wildseg(*command, "--resume")
    assert resumed.status == 0
    assert "3 of 4 images done" in resumed.out
    assert "look at first" in resumed.out
    assert "1 failed" in resumed.out


def test_progress_as_json_lines(wildseg, command, monkeypatch):
    monkeypatch.setattr("os.nice", lambda by: None, raising=False)  # for ever, otherwise
    lines = [json.loads(line) for line in wildseg(*command, "--progress-json").out.splitlines()]
    assert lines[0]["stage"] == "Loading the model"
    assert (lines[-1]["done"], lines[-1]["total"], lines[-1]["failed"]) == (4, 4, 1)
    assert lines[-1]["seconds_left"] == 0


def test_progress_as_a_bar(wildseg, command, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    ran = wildseg(*command)
    assert ran.status == 0
    assert "/4 [" in ran.err
    assert "images/s" in ran.err
    assert "003.png left out" in ran.err


def test_nothing_done_is_a_failure(wildseg, command, tmp_path):
    ran = wildseg("batch", "photos/003.png", *command[2:])
    assert ran.status == 1
    assert "No image was done" in ran.err
    assert (tmp_path / "wildseg-out" / "report.csv").is_file()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("--format", "gif"), "no format"),
        (("--views", "all"), "no view preset"),
        (("--labels", "missing.csv"), "no file missing.csv"),
        (("--labels", "auto", "--vocabulary", "nothing"), "no vocabulary"),
        (("--workers", "0"), "whole number"),
    ],
)
def test_it_says_what_is_wrong(wildseg, command, change, words, tmp_path):
    ran = wildseg(*command, *change)
    assert ran.status == 2
    assert ran.err.count("\n") == 1
    assert words in ran.err
    assert not (tmp_path / "wildseg-out").exists()
