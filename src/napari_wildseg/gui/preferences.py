"""Preferences: napari's page for this plugin where there is one (napari 0.9), else defaults."""

from dataclasses import dataclass, fields, replace


@dataclass(frozen=True)
class Settings:
    """What the annotator can set under File > Preferences; the defaults are the manifest's."""

    model: str = "starter"
    threshold: float = 0.5
    views: str = "default"
    refine_at_once: bool = True
    keep_corrections: bool = True
    near_distance: int = 60
    prepare: bool = True
    vocabulary: str = "coco"
    suggestions: int = 10
    background: str = "default"


def load() -> Settings:
    """Return the annotator's settings, or the defaults on a napari without plugin preferences."""
    try:
        from napari.settings import get_plugin_settings
    except ImportError:
        return Settings()
    try:
        page = get_plugin_settings("napari-wildseg").segmentation
    except (KeyError, AttributeError):
        # The plugin is not registered: the widget was made from a script.
        return Settings()
    there = [f.name for f in fields(Settings) if hasattr(page, f.name)]
    return replace(Settings(), **{name: getattr(page, name) for name in there})
