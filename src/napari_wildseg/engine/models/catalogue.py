"""Recommended models, with download size, licence and recommended use."""

import csv
import os
from dataclasses import dataclass
from pathlib import Path

from napari_wildseg.engine.models.light_import import import_open_clip
from napari_wildseg.engine.models.spec import STARTER, parse_spec
from napari_wildseg.engine.models.weights.download import (
    OPEN_CLIP_CONFIG,
    cache_folder,
    find_files,
    is_cached,
)


@dataclass(frozen=True)
class CatalogueEntry:
    """A recommended model.

    Attributes
    ----------
    model : str
        The model string.
    megabytes : int
        Approximate download size; 0 for the bundled starter.
    licence : str
        Licence of the weights.
    when : str
        Recommended use, in one line.
    """

    model: str
    megabytes: int
    licence: str
    when: str

    def status(self, cache_dir: str | os.PathLike[str] | None = None) -> str:
        """``"bundled"``, ``"cached"`` (on this machine) or ``"downloadable"``."""
        if self.model == STARTER:
            return "bundled"
        return "cached" if is_cached(self.model, cache_dir) else "downloadable"


def _listed() -> tuple[CatalogueEntry, ...]:
    text = Path(__file__).with_suffix(".csv").read_text(encoding="utf-8")
    rows = csv.reader(text.splitlines())
    return tuple(CatalogueEntry(model, int(size), *rest) for model, size, *rest in rows)


CATALOGUE = _listed()
"""The models that `wildseg models` lists; any other open_clip model string works as well."""


def downloaded_models(
    cache_dir: str | os.PathLike[str] | None = None,
) -> tuple[CatalogueEntry, ...]:
    """List the downloaded models that are not in the catalogue.

    Parameters
    ----------
    cache_dir : path, optional
        See `napari_wildseg.engine.models.weights.download.cache_folder`.
    """
    root = cache_folder(cache_dir)
    names = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    known = {parse_spec(entry.model).repository for entry in CATALOGUE}
    found = []
    for name in names:
        repository = name.replace("--", "/", 1)
        if "/" not in repository or repository in known:
            continue
        hub = any((root / name / config).is_file() for config in (OPEN_CLIP_CONFIG, "config.json"))
        for model in [f"hf-hub:{repository}"] if hub else _tags_of(repository):
            files = find_files(parse_spec(model), cache_dir)
            if files is not None:
                size = round(files.weights.stat().st_size / 1e6)
                found.append(CatalogueEntry(model, size, "see its page", "Downloaded before."))
                break
    return tuple(found)


def _tags_of(repository: str) -> list[str]:
    """Return the model strings of open_clip's registry with weights in a Hub repository."""
    import_open_clip()
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained

    return [
        f"{name}/{tag}"
        for name, tag in list_pretrained()
        if get_pretrained_cfg(name, tag).get("hf_hub", "").rpartition("/")[0] == repository
    ]
