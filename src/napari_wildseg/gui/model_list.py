"""The model strings the widget offers; listing them loads nothing."""

OFFERED = ("starter", "ViT-B-16/openai", "ViT-B-32/openai", "RN50/openai")


def choices(preferred: str) -> list[str]:
    """Return what the model box lists."""
    return list(dict.fromkeys([*OFFERED, preferred]))


def download_button(megabytes: int) -> str:
    """Return what a button that fetches a model says; 0 for a size that is not known.

    Examples
    --------
    >>> download_button(599)
    'Download (599 MB)'
    """
    return f"Download ({megabytes} MB)" if megabytes else "Download"
