"""Tests that open windows say so where there is no screen, instead of crashing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

WINDOWED = Path(__file__).parent / "gui" / "test_widget.py"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems have a screen")
def test_it_is_said_in_a_sentence():
    screens = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    surroundings = {key: value for key, value in os.environ.items() if key not in screens}
    command = [sys.executable, "-m", "pytest", "-q", "--no-xvfb", os.fspath(WINDOWED)]
    ran = subprocess.run(
        command,
        cwd=WINDOWED.parents[2],
        env=surroundings,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ran.returncode in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.INTERRUPTED)
    said = ran.stdout + ran.stderr
    assert "no screen: install Xvfb" in said
    assert "crashed" not in said
    assert "INTERNALERROR" not in said
