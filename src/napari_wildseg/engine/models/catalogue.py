"""Recommended models, with download size, licence and recommended use."""

from __future__ import annotations

import os
from dataclasses import dataclass

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


CATALOGUE = (
    CatalogueEntry(
        STARTER,
        0,
        "Apache-2.0",
        "Everyday objects and animals, at once and without a network.",
    ),
    CatalogueEntry(
        "ViT-B-16/openai",
        599,
        "MIT",
        "The first choice with a network: the model that the published methods were measured with.",
    ),
    CatalogueEntry(
        "ViT-B-16/datacomp_xl_s13b_b90k",
        599,
        "MIT",
        "As large, trained on more pictures: rarer things and finer distinctions.",
    ),
    CatalogueEntry(
        "ViT-B-16-quickgelu/metaclip_fullcc",
        599,
        "CC-BY-NC-4.0",
        "As large, trained on a balanced collection: rare categories; not for commercial use.",
    ),
    CatalogueEntry(
        "ViT-B-32/openai",
        605,
        "MIT",
        "Four times faster than ViT-B-16, with coarser maps: many images, large objects.",
    ),
    CatalogueEntry(
        "RN50/openai",
        408,
        "MIT",
        "The smallest download of OpenAI's models; convolutional, with class activation maps.",
    ),
    CatalogueEntry(
        "ViT-L-14/openai",
        1711,
        "MIT",
        "Knows most names best; about five times slower than ViT-B-16: use it on a GPU.",
    ),
    CatalogueEntry(
        "ViT-L-14-336/openai",
        1711,
        "MIT",
        "As ViT-L-14, trained on larger pictures: small objects; slow without a GPU.",
    ),
    CatalogueEntry(
        "convnext_base_w/laion2b_s13b_b82k",
        717,
        "MIT",
        "Convolutional: large images at a steady cost.",
    ),
)
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
