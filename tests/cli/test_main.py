"""Errors, exit statuses and help of the command."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

from napari_wildseg.cli import main as cli
from napari_wildseg.cli.main import COMMANDS, build_parser, main
from napari_wildseg.engine.errors import InputError, WildsegError


def assert_one_line(ran, status):
    assert ran.status == status
    assert ran.out == ""
    assert ran.err.startswith("wildseg")
    assert ran.err.count("\n") == 1
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(wildseg, command):
    ran = wildseg(command, "--help")
    assert ran.status == 0
    assert ran.out.startswith(f"usage: wildseg {command}")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("unknown",),
        ("segment",),
        ("segment", "sample:coffee"),
        ("segment", "sample:coffee", "--labels", "cat", "--threshold", "2"),
        ("evaluate", ".", "--limit", "0"),
        ("evaluate", ".", "--labels", "some"),
        ("suggest", "x.png", "--top", "ten"),
        ("models", "--no-such"),
    ],
)
def test_bad_arguments_are_one_line_and_status_2(wildseg, arguments):
    assert_one_line(wildseg(*arguments), 2)


def test_version(wildseg):
    ran = wildseg("--version")
    assert (ran.status, ran.out[:8]) == (0, "wildseg ")


@pytest.fixture
def raising(monkeypatch):
    """Make a command that raises what it is told to."""

    def install(error):
        def run(args):
            raise error

        parser = argparse.ArgumentParser()
        parser.set_defaults(run=run)
        monkeypatch.setattr(cli, "build_parser", lambda: parser)

    return install


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (InputError("The picture is empty."), 2, "The picture is empty."),
        (WildsegError("The disk is full."), 1, "The disk is full."),
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 1, "not enough memory"),
        (RuntimeError("could not create a primitive"), 1, "not enough memory"),
        (RuntimeError("could not create a primitive descriptor"), 1, "primitive descriptor"),
        (OSError(12, "Cannot allocate memory"), 1, "not enough memory"),
        (ValueError("two\nlines"), 1, "ValueError: two lines"),
        (RuntimeError(), 1, "(RuntimeError)"),
    ],
)
def test_errors_become_one_line(wildseg, raising, error, status, words):
    raising(error)
    ran = wildseg()
    assert_one_line(ran, status)
    assert words in ran.err


def test_a_traceback_on_request(wildseg, raising, monkeypatch):
    monkeypatch.setenv("WILDSEG_DEBUG", "1")
    raising(ValueError("where?"))
    ran = wildseg()
    assert ran.status == 1
    assert "Traceback" in ran.err


def test_every_command_is_one_module():
    parser = build_parser()
    (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    assert tuple(commands.choices) == COMMANDS
    assert callable(main)


STREAMS = """
import contextlib, os, sys
from napari_wildseg.cli import main as cli
from napari_wildseg.cli.console import print_json, print_line, print_notice

def run(args):
    with open("written", "w") as file:
        with contextlib.suppress(OSError):
            os.write(1, b"a library prints")
        print_line("printed")
        print_json({"a": 1})
        print_notice("warned")
        file.write("whole")
    return 0

class Parsed:
    run = staticmethod(run)

class Parser:
    def parse_args(self, arguments):
        return Parsed

cli.build_parser = Parser
sys.exit(cli.main([]))
"""


def run_streams(tmp_path, shell):
    (tmp_path / "streams.py").write_text(STREAMS)
    return subprocess.run(
        ["bash", "-c", shell.format(python=f"{sys.executable} {tmp_path}/streams.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of Unix")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_lose_what_is_printed_and_nothing_else(tmp_path, closed):
    ran = run_streams(tmp_path, f"{{python}} {closed}")
    assert ran.returncode == 0
    assert (tmp_path / "written").read_text() == "whole"
    assert ran.stderr == ("" if "2" in closed else "wildseg: warned\n")
    assert "warned" not in ran.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_has_no_room_is_a_sentence(tmp_path, monkeypatch, unbuffered):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    ran = run_streams(tmp_path, "{python} > /dev/full")
    assert ran.returncode == 1
    last = "wildseg: The output cannot be printed: no space left on device."
    assert ran.stderr.splitlines() == [*([] if unbuffered else ["wildseg: warned"]), last]


@pytest.mark.skipif(sys.platform == "win32", reason="a folder in use cannot be deleted")
def test_a_working_directory_that_is_gone_is_a_sentence(tmp_path):
    (tmp_path / "gone").mkdir()
    ran = run_streams(tmp_path, "cd gone && rmdir ../gone && {python}")
    assert ran.returncode == 2
    wanted = "wildseg: The working directory was deleted: change to one that exists.\n"
    assert (ran.stdout, ran.stderr) == ("", wanted)
