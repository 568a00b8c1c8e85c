"""A Hugging Face Hub on loopback, and small models to put on it."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from open_clip.model import CLIP
from safetensors.torch import save, save_file

CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {
        "image_size": 32, "patch_size": 16, "width": 32, "layers": 2, "head_width": 16
    },
    "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}  # fmt: skip


class Hub:
    """What the Hub's HTTP interface does for one file at a time.

    Attributes
    ----------
    files : dict
        ``"org/name/file"`` -> bytes.
    log : list of (str, str, str)
        Method, path and Range header of every request.
    cut : int or None
        Send no more than this many bytes of a body, then close the connection.
    garble : bool
        Send other bytes than the checksum is of.
    ranges : bool
        Whether a part of a file can be asked for.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.log: list[tuple[str, str, str]] = []
        self.cut: int | None = None
        self.garble = False
        self.ranges = True
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def do_HEAD(self):
                self.answer(body=False)

            def do_GET(self):
                self.answer(body=True)

            def answer(self, body):
                hub.log.append((self.command, self.path, self.headers.get("Range") or ""))
                name = self.path.lstrip("/").replace("/resolve/main", "")
                data = hub.files.get(name)
                if data is None:
                    known = any(f.startswith(name.rsplit("/", 1)[0] + "/") for f in hub.files)
                    self.send_response(404)
                    self.send_header("X-Error-Code", "EntryNotFound" if known else "RepoNotFound")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                checksum = hashlib.sha256(data).hexdigest()
                start = 0
                wanted = self.headers.get("Range")
                if wanted and hub.ranges:
                    start = int(wanted.removeprefix("bytes=").rstrip("-"))
                self.send_response(206 if start else 200)
                self.send_header("ETag", f'"{checksum}"')
                self.send_header("X-Repo-Commit", "0" * 40)
                self.send_header("Content-Length", str(len(data) - start))
                self.end_headers()
                if body:
                    sent = bytes(len(data)) if hub.garble else data
                    stop = len(data) if hub.cut is None else hub.cut
                    self.wfile.write(sent[start:stop])

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def requests(self, method: str = "GET") -> list[str]:
        """File names asked for."""
        return [path.rsplit("/", 1)[1] for kind, path, _ in self.log if kind == method]


@pytest.fixture
def hub(monkeypatch):
    """The Hub that the product talks to during a test."""
    server = Hub()
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    yield server
    server.close()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder that downloads go to."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("WILDSEG_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def weights():
    """State dict of a small CLIP with random weights."""
    torch.manual_seed(0)
    return CLIP(**CONFIG).state_dict()


@pytest.fixture
def small_hub(hub, weights):
    """The Hub with one small model, ``lab/small``."""
    hub.files["lab/small/open_clip_config.json"] = json.dumps({"model_cfg": CONFIG}).encode()
    hub.files["lab/small/open_clip_model.safetensors"] = save(weights)
    return hub


@pytest.fixture
def folder(tmp_path, weights) -> Path:
    """A directory in open_clip's form."""
    path = tmp_path / "small"
    path.mkdir()
    preprocess = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    (path / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": CONFIG, "preprocess_cfg": preprocess})
    )
    save_file(weights, path / "open_clip_model.safetensors")
    return path
