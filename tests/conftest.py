"""Every test runs with user folders of its own and without a network."""

from __future__ import annotations

import os
import socket

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "wildseg",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("wildseg")

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


@pytest.fixture(autouse=True)
def user_folders(tmp_path_factory, monkeypatch):
    """Caches and preferences go to a folder of this test."""
    home = tmp_path_factory.mktemp("home")
    for variable, part in _FOLDERS.items():
        folder = home / part
        folder.mkdir(parents=True, exist_ok=True)
        monkeypatch.setenv(variable, os.fspath(folder))
    for variable in ("WILDSEG_DEBUG", "WILDSEG_CACHE"):
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
