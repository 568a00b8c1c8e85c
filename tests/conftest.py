"""Every test runs with user folders of its own and without a network."""

from __future__ import annotations

import gc
import json
import os
import socket
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "wildseg",
    max_examples=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("wildseg")
# Other examples every time: pytest -m hypothesis --hypothesis-profile=nightly
settings.register_profile(
    "nightly", settings.get_profile("wildseg"), max_examples=600, derandomize=False, print_blob=True
)

_FOLDERS = {
    "HOME": "",
    "USERPROFILE": "",
    "XDG_CACHE_HOME": ".cache",
    "XDG_CONFIG_HOME": ".config",
    "XDG_DATA_HOME": ".local/share",
    "XDG_STATE_HOME": ".local/state",
    "LOCALAPPDATA": "local",
    "APPDATA": "roaming",
    "HF_HOME": ".cache/huggingface",
    "TORCH_HOME": ".cache/torch",
}

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_NOT_OURS = (
    *("WILDSEG_DEBUG", "WILDSEG_CACHE", "HF_ENDPOINT", "HF_TOKEN"),
    *(*_PROXIES, *(name.upper() for name in _PROXIES)),
)
"""What whoever runs the tests may have set. A server on loopback is reached without a proxy."""

os.environ.pop("HF_HUB_OFFLINE", None)  # read when huggingface_hub is imported

NO_SCREEN = (
    "Some of these tests open a window, and there is no screen: install Xvfb, "
    "or leave out tests/gui."
)

WITHOUT = Path(__file__).parent / "data" / "without"
"""Modules that processes cannot import which tests start."""

LIGHT = {
    "embed_dim": 16,
    "vision_cfg": {
        "image_size": 32, "patch_size": 16, "width": 32, "layers": 2, "head_width": 16
    },
    "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}  # fmt: skip


def opens_a_window_nowhere(item) -> bool:
    """Whether a test needs a screen and there is none: Qt would end the process with a crash."""
    elsewhere = os.environ.get("QT_QPA_PLATFORM", "").startswith(("offscreen", "minimal", "vnc"))
    screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or elsewhere
    return sys.platform.startswith("linux") and not screen and "qapp" in item.fixturenames


def pytest_collection_modifyitems(config, items):
    """Refuse to begin where windows cannot be opened."""
    # A worker of pytest-xdist that ends here is taken for one that crashed.
    worker = hasattr(config, "workerinput")
    if not worker and not config.option.collectonly and any(map(opens_a_window_nowhere, items)):
        pytest.exit(NO_SCREEN, returncode=pytest.ExitCode.USAGE_ERROR)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish():
    """Spare time in this process and in those that tests start.

    napari collects garbage whenever a layer leaves, in a quarter of a second with all tests
    imported. open_clip imports transformers where it is installed, which takes a fourth of a
    process's start; only few models need it, and no test loads one in another process.
    """
    gc.collect()
    gc.freeze()
    paths = [os.fspath(WITHOUT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Stop at the first test whose window cannot be opened."""
    if opens_a_window_nowhere(item):
        item.session.shouldstop = NO_SCREEN
        pytest.fail(NO_SCREEN, pytrace=False)


@pytest.fixture(scope="session")
def unused_home(tmp_path_factory):
    """Return a function that gives a home: the last one, unless something was put there.

    To make and delete ten folders for each of thousands of tests takes half a minute.
    """
    homes: list[tuple[Path, set[Path]]] = []

    def home() -> Path:
        if not homes or set(homes[-1][0].rglob("*")) != homes[-1][1]:
            made = tmp_path_factory.mktemp("home")
            for part in _FOLDERS.values():
                (made / part).mkdir(parents=True, exist_ok=True)
            homes.append((made, set(made.rglob("*"))))
        return homes[-1][0]

    return home


@pytest.fixture(autouse=True)
def user_folders(unused_home, monkeypatch):
    """Caches and preferences go to a folder where no other test wrote any."""
    home: Path = unused_home()
    for variable, part in _FOLDERS.items():
        monkeypatch.setenv(variable, os.fspath(home / part))
    for variable in _NOT_OURS:
        monkeypatch.delenv(variable, raising=False)
    return home


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Connections leave this machine in no test; loopback is open for servers of the tests."""
    connect = socket.socket.connect

    def only_loopback(self, address):
        inet = self.family in (socket.AF_INET, socket.AF_INET6)
        if inet and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"a test tried to reach {address[0]}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", only_loopback)


@pytest.fixture(scope="session")
def starter():
    """The bundled model, loaded once."""
    from napari_wildseg.engine.models import load_model

    return load_model("starter", device="cpu")


@pytest.fixture(scope="session")
def light_model(tmp_path_factory) -> str:
    """Model string of a small CLIP with random weights, which other processes can load too."""
    import torch
    from open_clip.model import CLIP
    from safetensors.torch import save_file

    path = tmp_path_factory.mktemp("light")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        weights = CLIP(**LIGHT).state_dict()
    (path / "open_clip_config.json").write_text(json.dumps({"model_cfg": LIGHT}))
    save_file(weights, path / "open_clip_model.safetensors")
    return f"local-dir:{path}"
