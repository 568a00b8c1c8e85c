"""Downloads from the Hugging Face Hub: on request only, resumable, verified.

A file is written as ``<name>.part``. It is renamed when its size and, if the Hub provides one, its
SHA-256 are correct, so a file under its final name is always complete. Models in the Hub's own
cache are found and used; nothing is written there.
"""

import errno
import hashlib
import os
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from napari_wildseg.engine.errors import WildsegError
from napari_wildseg.engine.models.architecture import (
    Architecture,
    architecture_from_json,
    builtin_architecture,
    unsupported,
)
from napari_wildseg.engine.models.spec import Spec, parse_spec
from napari_wildseg.engine.models.tokenizers import TOKENIZER_FILES, has_tokenizer, uses_files
from napari_wildseg.engine.models.weights import transformers_folder
from napari_wildseg.engine.progress import Progress, Steps, drain

OPEN_CLIP_CONFIG = "open_clip_config.json"
_REPOSITORY = re.compile(r"(?!\.)[\w.-]+(/(?!\.)[\w.-]+)?")
_CHUNK = 2**18
_TIMEOUT = 20.0


def cache_folder(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of downloads: the argument, ``WILDSEG_CACHE``, or the user's cache."""
    chosen = cache_dir or os.environ.get("WILDSEG_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    if os.name == "nt":
        base = os.environ.get("LOCALAPPDATA", "~/AppData/Local")
    else:
        base = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(base).expanduser() / "napari-wildseg"


@dataclass(frozen=True)
class Files:
    """The local files of a model."""

    architecture: Architecture
    weights: Path  # the checkpoint
    tokenizer: Path | None  # directory of the tokenizer's files, if the model needs them


def find_files(spec: Spec, cache_dir: str | os.PathLike[str] | None = None) -> Files | None:
    """Find the local files of a model of the Hub; None if any is missing."""
    architecture = architecture_of(spec, cache_dir)
    if architecture is None or spec.repository is None:
        return None
    weights = next(
        filter(
            None,
            (_local(spec.repository, name, cache_dir) for name in _weight_names(spec, cache_dir)),
        ),
        None,
    )
    if weights is None:
        return None
    if not uses_files(architecture):
        return Files(architecture, weights, None)
    tokenizer = _tokenizer_folder(_tokenizer_of(architecture), cache_dir)
    return None if tokenizer is None else Files(architecture, weights, tokenizer)


def architecture_of(
    spec: Spec, cache_dir: str | os.PathLike[str] | None = None
) -> Architecture | None:
    """Return the architecture of a Hub model; None if its configuration is not on this machine."""
    if spec.kind == "tag" and spec.architecture is not None:
        architecture = builtin_architecture(spec.architecture)
        architecture.name = spec.text
        if spec.mean is not None and spec.std is not None:
            architecture.mean, architecture.std = spec.mean, spec.std
        if spec.quick_gelu:
            architecture.config["quick_gelu"] = True
        return architecture
    repository = spec.repository or ""
    path = _local(repository, OPEN_CLIP_CONFIG, cache_dir)
    if path is not None:
        architecture = architecture_from_json(path.read_text(encoding="utf-8"), spec.text)
        architecture.folder = path.parent
        return architecture
    path = _local(repository, transformers_folder.TRANSFORMERS_CONFIG, cache_dir)
    if path is None:
        return None
    architecture = transformers_folder.architecture_of_folder(path.parent, spec.text)
    if uses_files(architecture):
        architecture.config["text_cfg"]["hf_tokenizer_name"] = repository
    return architecture


def _weight_names(spec: Spec, cache_dir: str | os.PathLike[str] | None) -> tuple[str, ...]:
    """Return the checkpoint names to search for, which depend on the configuration's format."""
    repository = spec.repository or ""
    if spec.kind == "hub" and _local(repository, OPEN_CLIP_CONFIG, cache_dir) is None:
        return transformers_folder.TRANSFORMERS_WEIGHTS
    return spec.weights


def _tokenizer_of(architecture: Architecture) -> str:
    """Return the tokenizer's repository; raise `WildsegError` unless it is a valid name."""
    source = architecture.config["text_cfg"]["hf_tokenizer_name"]
    if not isinstance(source, str) or not _REPOSITORY.fullmatch(source):
        raise WildsegError(
            f"{source!r:.60}, the tokenizer of {architecture.name}, is no name of the Hub's."
        )
    return source


def is_cached(model: str, cache_dir: str | os.PathLike[str] | None = None) -> bool:
    """Return whether a model can be loaded without a network."""
    spec = parse_spec(model)
    return spec.kind not in ("tag", "hub") or find_files(spec, cache_dir) is not None


def is_downloadable(model: str, cache_dir: str | os.PathLike[str] | None = None) -> bool:
    """Return whether a model is missing here and would be supported after a download."""
    spec = parse_spec(model)
    if spec.kind not in ("tag", "hub") or find_files(spec, cache_dir) is not None:
        return False
    architecture = architecture_of(spec, cache_dir)
    return architecture is None or unsupported(architecture) is None


def download_steps(model: str, *, cache_dir: str | os.PathLike[str] | None = None) -> Steps[Path]:
    """Download a model, yielding every quarter of a megabyte.

    Closing the generator cancels. The partial file is kept, and the next download resumes it.
    """
    spec = parse_spec(model)
    if spec.repository is None:
        return spec.path or cache_folder(cache_dir)
    with _errors_translated(spec):
        if architecture_of(spec, cache_dir) is None:
            yield from _fetch_configuration(spec, cache_dir)
        architecture = architecture_of(spec, cache_dir)
        assert architecture is not None
        reason = unsupported(architecture)
        if reason is not None:
            raise WildsegError(reason)
        if uses_files(architecture):
            source = _tokenizer_of(architecture)
            if _tokenizer_folder(source, cache_dir) is None:
                yield from _fetch_tokenizer(source, cache_dir, spec.text)
        files = find_files(spec, cache_dir)
        if files is not None:
            return files.weights
        name, _ = _first_on_hub(spec.repository, _weight_names(spec, cache_dir))
        return (yield from _fetch(spec.repository, name, cache_dir, spec.text))


def download(model: str, *, cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Download a model and return its path; see `download_steps`."""
    return drain(download_steps(model, cache_dir=cache_dir))


# -- local files -------------------------------------------------------------------------------


def _repository_folder(repository: str, cache_dir: str | os.PathLike[str] | None) -> Path:
    return cache_folder(cache_dir) / repository.replace("/", "--")


def _local(repository: str, name: str, cache_dir: str | os.PathLike[str] | None) -> Path | None:
    own = _repository_folder(repository, cache_dir) / name
    if own.is_file():
        return own
    from huggingface_hub import try_to_load_from_cache

    shared = try_to_load_from_cache(repository, name)
    return Path(shared) if isinstance(shared, str) else None


def _tokenizer_folder(source: str, cache_dir: str | os.PathLike[str] | None) -> Path | None:
    own = _repository_folder(source, cache_dir)
    if has_tokenizer(own):
        return own
    for name in TOKENIZER_FILES:
        shared = _local(source, name, cache_dir)
        if shared is not None and has_tokenizer(shared.parent):
            return shared.parent
    return None


# -- the Hub -----------------------------------------------------------------------------------


def _metadata(repository: str, name: str) -> Any:
    """Return the Hub's metadata of a file: size, etag (SHA-256 of a large file), location."""
    import huggingface_hub

    endpoint = os.environ.get("HF_ENDPOINT")  # read at call time: it may be set after import
    url = huggingface_hub.hf_hub_url(repository, name, endpoint=endpoint)
    return huggingface_hub.get_hf_file_metadata(url, timeout=_TIMEOUT)


def _first_on_hub(repository: str, names: tuple[str, ...]) -> tuple[str, Any]:
    from huggingface_hub.errors import EntryNotFoundError

    for name in names:
        try:
            return name, _metadata(repository, name)
        except EntryNotFoundError:
            continue
    raise WildsegError(f"{repository} on the Hugging Face Hub has none of {', '.join(names)}.")


def _fetch_tokenizer(
    source: str, cache_dir: str | os.PathLike[str] | None, title: str
) -> Steps[None]:
    from huggingface_hub.errors import EntryNotFoundError

    for name in TOKENIZER_FILES:
        try:
            yield from _fetch(source, name, cache_dir, f"the tokenizer of {title}")
        except EntryNotFoundError:
            continue
    if _tokenizer_folder(source, cache_dir) is None:
        raise WildsegError(f"{source} on the Hugging Face Hub has no tokenizer for {title}.")


def _fetch_configuration(spec: Spec, cache_dir: str | os.PathLike[str] | None) -> Steps[None]:
    """Fetch open_clip's configuration, or else that of the transformers library."""
    from huggingface_hub.errors import EntryNotFoundError

    assert spec.repository is not None
    try:
        yield from _fetch(spec.repository, OPEN_CLIP_CONFIG, cache_dir, spec.text)
    except EntryNotFoundError:
        yield from _fetch(
            spec.repository, transformers_folder.TRANSFORMERS_CONFIG, cache_dir, spec.text
        )
        try:
            yield from _fetch(
                spec.repository, transformers_folder.PREPROCESSOR, cache_dir, spec.text
            )
        except EntryNotFoundError:
            return  # the default normalisation is used then


def _fetch(
    repository: str, name: str, cache_dir: str | os.PathLike[str] | None, title: str
) -> Steps[Path]:
    """Download one file, resuming a partial one."""
    found = _metadata(repository, name)
    target = _repository_folder(repository, cache_dir) / name
    part = target.with_name(f"{target.name}.part")
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    have = 0
    if part.is_file():
        with part.open("rb") as file:
            while block := file.read(_CHUNK):
                digest.update(block)
                have += len(block)
    if found.size is not None and have > found.size:
        have = 0
    if found.size is None or have < found.size:
        with _open(found.location, have) as response:
            if have and response.status != 206:
                have = 0
            if have == 0:
                digest = hashlib.sha256()
            with part.open("ab" if have else "wb") as file:
                while block := response.read(_CHUNK):
                    file.write(block)
                    digest.update(block)
                    have += len(block)
                    total = max(have, found.size or 0)
                    yield Progress(have // 1000, total // 1000, f"Downloading {title}")
    if found.size is not None and have != found.size:
        raise WildsegError(
            f"The download of {title} broke off after {have} of {found.size} bytes; "
            "start it again and it goes on from there."
        )
    checksum = (found.etag or "").strip('"')
    if len(checksum) == 64 and checksum != digest.hexdigest():
        part.unlink()
        raise WildsegError(
            f"The download of {title} arrived damaged (its checksum is wrong) and was removed; "
            "start it again."
        )
    part.replace(target)
    return target


def _open(url: str, start: int) -> Any:
    """Open a URL at a byte offset; send the user's Hub token to the Hub only."""
    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers

    hub = os.environ.get("HF_ENDPOINT") or constants.ENDPOINT
    same = urlsplit(url).netloc == urlsplit(hub).netloc
    headers = dict(build_hf_headers(token=None if same else False))
    if start:
        headers["Range"] = f"bytes={start}-"
    context = None
    if url.startswith("https:"):
        context = ssl.create_default_context()
        if not context.get_ca_certs():  # Python without the system's certificates
            import certifi

            context = ssl.create_default_context(cafile=certifi.where())
    request = urllib.request.Request(url, headers=headers)
    return urllib.request.urlopen(request, timeout=_TIMEOUT, context=context)


@contextmanager
def _errors_translated(spec: Spec) -> Iterator[None]:
    """Translate exceptions of a download into `WildsegError`."""
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, RepositoryNotFoundError

    try:
        yield
    except GatedRepoError as error:
        raise WildsegError(
            f"{spec.repository} asks its users to accept its terms: do so on its page at the "
            "Hugging Face Hub, log in with `hf auth login`, and start the download again."
        ) from error
    except RepositoryNotFoundError as error:
        raise WildsegError(
            f"The Hugging Face Hub has no model {spec.repository} (or does not show it to you)."
        ) from error
    except EntryNotFoundError as error:
        raise WildsegError(
            f"{spec.repository} on the Hugging Face Hub is not an open_clip model, nor one of the "
            f"transformers library: it has no {OPEN_CLIP_CONFIG} and no "
            f"{transformers_folder.TRANSFORMERS_CONFIG}."
        ) from error
    except WildsegError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise WildsegError(
                f"The disk is full: {spec.text} does not fit into the cache folder. Make room, or "
                "set WILDSEG_CACHE to a folder on another disk, and start the download again."
            ) from error
        if isinstance(error, PermissionError):
            raise WildsegError(
                f"The cache folder cannot be written to ({error.filename}); set WILDSEG_CACHE to "
                "another folder."
            ) from error
        raise WildsegError(
            f"The Hugging Face Hub cannot be reached ({type(error).__name__}), so {spec.text} was "
            'not downloaded; the model "starter" needs no network.'
        ) from error
