"""What an import only names is not loaded; what it uses is, and is the real thing."""

from __future__ import annotations

import importlib
import sys

import pytest

from napari_wildseg.engine.models import light_import
from napari_wildseg.engine.models.light_import import without_compiler

COMPILER = """
from slow_compiler import utils
LOADED = True
def disable(fn=None, recursive=True):
    return "the real one" if recursive else lambda function: "the real one"
"""

UTILS = """
def is_compile_supported(device_type): return f"{device_type}: told by the real one"
ANYTHING = "else"
"""

USER = """
import slow_compiler
from slow_compiler.utils import is_compile_supported
@slow_compiler.disable
def plain(): return 1
@slow_compiler.disable(recursive=False)
def called(): return 2
"""


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    """A package in the compiler's place, and a module that names it; neither is imported yet."""
    package = tmp_path / "slow_compiler"
    package.mkdir()
    (package / "__init__.py").write_text(COMPILER)
    (package / "utils.py").write_text(UTILS)
    (package / "config.py").write_text("import slow_compiler\nREAL = slow_compiler.LOADED")
    (tmp_path / "its_user.py").write_text(USER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(light_import, "_allowed", True)
    monkeypatch.setattr(light_import, "_COMPILER", "slow_compiler")
    monkeypatch.setattr(light_import, "_PARTS", ("slow_compiler", "slow_compiler.utils"))
    yield
    for name in [n for n in sys.modules if n.partition(".")[0] in ("slow_compiler", "its_user")]:
        del sys.modules[name]


def loaded() -> bool:
    return any(name.startswith("slow_compiler") for name in sys.modules)


def test_what_is_named_alone_is_not_loaded(compiler):
    finders = list(sys.meta_path)
    with without_compiler():
        user = importlib.import_module("its_user")
    assert not loaded()
    assert sys.meta_path == finders
    assert (user.plain(), user.called()) == (1, 2)
    assert user.is_compile_supported("cpu") == "cpu: told by the real one", "fetched when called"
    assert sys.modules["slow_compiler"].LOADED


def test_a_process_of_somebody_else_imports_the_compiler(compiler, monkeypatch):
    monkeypatch.setattr(light_import, "_allowed", False)
    with without_compiler():
        assert importlib.import_module("its_user").plain == "the real one"
    assert loaded()


def test_what_has_no_stand_in_is_fetched(compiler):
    with without_compiler():
        stand_in = importlib.import_module("slow_compiler.utils")
        assert not hasattr(stand_in, "__file__"), "looking at all modules fetches nothing"
        assert stand_in.ANYTHING == "else"
        assert importlib.import_module("slow_compiler").disable() == "the real one"
    assert sys.modules["slow_compiler"].LOADED, "it stays afterwards"


def test_another_part_is_imported_with_the_whole(compiler):
    with without_compiler():
        part = importlib.import_module("slow_compiler.config")
        assert part.REAL
        assert sys.modules["slow_compiler.config"] is part
    assert sys.modules["slow_compiler"].config is part


def test_what_was_loaded_before_is_left_alone(compiler):
    real = importlib.import_module("slow_compiler")
    with without_compiler():
        assert importlib.import_module("slow_compiler") is real
        assert importlib.import_module("its_user").plain == "the real one"


def test_an_error_leaves_no_stand_in(compiler):
    with pytest.raises(ModuleNotFoundError), without_compiler():
        importlib.import_module("slow_compiler.of_another_version")
    assert sys.modules["slow_compiler"].LOADED
    assert not any(isinstance(m, light_import._Placeholder) for m in list(sys.modules.values()))
