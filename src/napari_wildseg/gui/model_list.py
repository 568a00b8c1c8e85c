"""The model strings the widget offers; listing them loads nothing."""

from __future__ import annotations

OFFERED = ("starter", "ViT-B-16/openai", "ViT-B-32/openai", "RN50/openai")


def choices(preferred: str) -> list[str]:
    """Return what the model box lists.

    Parameters
    ----------
    preferred : str
        The annotator's own choice from the preferences, listed too if it is none of ours.
    """
    return list(dict.fromkeys([*OFFERED, preferred]))


def download_button(model: str) -> str:
    """Return what a button that fetches a model says, with the size where it is known.

    Examples
    --------
    >>> download_button("ViT-B-16/openai")
    'Download (599 MB)'
    """
    from napari_wildseg.engine.models.catalogue import CATALOGUE

    size = next((entry.megabytes for entry in CATALOGUE if entry.model == model), 0)
    return f"Download ({size} MB)" if size else "Download"
