"""Sample photographs for File > Open Sample; scikit-image ships them."""

from typing import Any

LayerData = tuple[Any, dict[str, Any], str]


def open_sample(name: str) -> list[LayerData]:
    """Return a sample photograph as layer data, with class names that suit it."""
    from napari_wildseg.engine.pictures.samples import SAMPLE_PICTURES, load_sample

    about = {"name": name, "metadata": {"wildseg": {"classes": SAMPLE_PICTURES[name].labels}}}
    return [(load_sample(name), about, "image")]


def coffee() -> list[LayerData]:
    """A cup of coffee on a table."""
    return open_sample("coffee")


def chelsea() -> list[LayerData]:
    """Chelsea the cat."""
    return open_sample("chelsea")


def rocket() -> list[LayerData]:
    """A rocket on its launch pad."""
    return open_sample("rocket")


def astronaut() -> list[LayerData]:
    """An astronaut with a flag."""
    return open_sample("astronaut")


def motorcycle() -> list[LayerData]:
    """A motorcycle in a garage."""
    return open_sample("motorcycle")


def camera() -> list[LayerData]:
    """A cameraman on a lawn, in grey."""
    return open_sample("camera")
