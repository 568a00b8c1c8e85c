"""The engine process: whatever becomes of it, the window gets a sentence and may ask again."""

from __future__ import annotations

import io
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from napari_wildseg.engine.errors import InputError, NotDownloadedError
from napari_wildseg.engine.progress import drain
from napari_wildseg.process import client
from napari_wildseg.process.client import Engine, EngineEndedError, EngineError
from napari_wildseg.process.messages import receive, send

STAND_IN = Path(__file__).with_name("stand_in.py")


@pytest.fixture
def engine():
    engine = Engine(command=[sys.executable, str(STAND_IN)])
    yield engine
    engine.stop()


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(what) -> None:
    limit = time.monotonic() + 60
    while not what():
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_messages_keep_what_they_carry():
    stream = io.BytesIO()
    arrays = [np.arange(6, dtype=">i2").reshape(2, 3)[:, ::2], np.zeros((0, 4)), np.float32(3) * 1]
    send(
        stream, {"a": arrays, "b": b"\x00$array", "c": (1, None, "é", {"d": True}), "n": np.int8(2)}
    )
    size = stream.tell()
    stream.seek(0)
    found = receive(stream)
    assert [a.tolist() for a in found["a"][:2]] == [[[0, 2], [3, 5]], []]
    assert found["a"][1].shape == (0, 4)
    assert (found["b"], found["n"]) == (b"\x00$array", 2)
    assert found["c"] == (1, None, "é", {"d": True})
    whole = stream.getvalue()
    for cut in range(0, size, 7):
        assert receive(io.BytesIO(whole[:cut])) is None


def test_calls_return_report_and_fail(engine):
    picture = np.arange(12).reshape(3, 4)
    seen = []
    assert drain(engine.call("count", steps=3), seen.append) == 3
    stages = [stage for stage, _ in itertools.groupby(p.stage for p in seen)]
    assert [s for s in stages if s != client.STARTING.stage] == ["Step 0", "Step 1", "Step 2"]
    assert (drain(engine.call("echo", a=picture))["a"] == picture).all()
    assert (
        drain(engine.call("corner", picture.__getitem__, box=[1, 3, 1, 0, 4, 2])) == 4 + 6 + 8 + 10
    )
    for kind, error in (
        ("input", InputError),
        ("missing", NotDownloadedError),
        ("torch", MemoryError),
        ("other", EngineError),
    ):
        with pytest.raises(error) as raised:
            drain(engine.call("fail", kind=kind))
        if kind == "missing":
            assert (raised.value.model, raised.value.megabytes) == ("ViT", 0)
    with pytest.raises(ZeroDivisionError):
        drain(engine.call("corner", lambda box: 1 / 0, box=[0, 1, 1, 0, 1, 1]))
    assert drain(engine.call("count", steps=1)) == 1
    assert engine.generation == 1, "all of it in one process"


def test_a_cancelled_call_leaves_the_process_and_a_deaf_one_is_ended(engine, monkeypatch):
    steps = engine.call("count", steps=10_000, seconds=0.001)
    while next(steps).stage != "Step 3":
        pass
    steps.close()
    assert drain(engine.call("count", steps=2)) == 2
    assert engine.generation == 1
    monkeypatch.setattr(client, "GRACE", 0.5)  # the tests of the window have set a minute
    steps = engine.call("hang")
    while next(steps) is client.STARTING:
        pass
    started = time.monotonic()
    steps.close()
    assert time.monotonic() - started < client.GRACE + 5
    assert not engine.alive
    assert drain(engine.call("count", steps=2)) == 2
    assert engine.generation == 2


def test_a_call_does_not_wait_until_a_model_was_tried(engine):
    started = time.monotonic()
    engine.warm("starter")
    assert drain(engine.call("count", steps=2)) == 2
    assert time.monotonic() - started < 50, "to the end it takes twice as long"


@pytest.mark.parametrize("moments", [5, pytest.param(100, marks=pytest.mark.nightly)])
def test_killed_at_any_moment(engine, moments):
    rng = np.random.default_rng(0)
    for _ in range(moments):
        steps = engine.call("count", steps=10_000, seconds=0.001)
        for _ in range(int(rng.integers(1, 40))):
            next(steps)
        os.kill(engine.pid, signal.SIGKILL)
        with pytest.raises(EngineEndedError, match="labels and corrections are as they were"):
            drain(steps)
        assert drain(engine.call("count", steps=1)) == 1
    with pytest.raises(EngineEndedError):
        drain(engine.call("crash"))


@pytest.mark.skipif(sys.platform == "win32", reason="the limit is one of POSIX")
def test_a_model_that_allocates_without_end_costs_its_run_only(engine):
    with pytest.raises((MemoryError, EngineEndedError)):
        drain(engine.call("hog", limit=2**31))
    assert drain(engine.call("count", steps=1)) == 1


WINDOW = """
import os, sys, signal
from napari_wildseg.process.client import Engine
engine = Engine(command=[sys.executable, sys.argv[1]])
steps = engine.call("hang")
for _ in range(50):
    next(steps)
print(engine.pid, flush=True)
if sys.argv[2] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[2] == "exited":
    os._exit(1)
"""


@pytest.mark.parametrize("how", ["killed", "exited", "ended"])
def test_no_process_is_left_however_the_window_ends(how):
    run = subprocess.run(
        [sys.executable, "-c", WINDOW, str(STAND_IN), how],
        capture_output=True,
        text=True,
        timeout=120,
    )
    pid = int(run.stdout)
    wait_until(lambda: not is_there(pid))
