"""One library is kept out of the process, where it would crash it and only there."""

from __future__ import annotations

import sys

from napari_wildseg.engine import import_guard


def test_triton_is_kept_out_only_where_it_would_crash(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "platform", "linux")
    maps = tmp_path / "maps"
    monkeypatch.setattr(import_guard, "_MAPS", maps)
    monkeypatch.delitem(sys.modules, "triton", raising=False)
    assert not import_guard.keep_out_triton(), "no such file: not told, not kept out"
    maps.write_text("7f00-7f01 r-xp /usr/lib/libnvidia-glcore.so\n")
    assert not import_guard.keep_out_triton()
    assert "triton" not in sys.modules
    maps.write_text("7f00-7f01 r-xp /usr/lib/x86_64-linux-gnu/libLLVM-15.so.1\n")
    assert import_guard.keep_out_triton()
    assert sys.modules["triton"] is None
    assert import_guard.keep_out_triton()
    monkeypatch.setitem(sys.modules, "triton", sys)
    assert not import_guard.keep_out_triton(), "loaded before: too late and not needed"


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.delitem(sys.modules, "triton", raising=False)
    assert not import_guard.keep_out_triton()
