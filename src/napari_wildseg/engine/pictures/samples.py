"""Sample photographs from scikit-image, which ships them: nothing is downloaded."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.errors import InputError, WildsegError


@dataclass(frozen=True)
class Sample:
    """A sample photograph."""

    name: str  # name after ``sample:``
    title: str  # description for menus
    labels: str  # suitable class names


SAMPLE_PICTURES = {
    sample.name: sample
    for sample in (
        Sample("coffee", "A cup of coffee on a table", "cup of coffee, spoon, table"),
        Sample("chelsea", "Chelsea the cat", "cat"),
        Sample("rocket", "A rocket on its launch pad", "rocket, sky"),
        Sample("astronaut", "An astronaut with a flag", "astronaut, flag"),
        Sample("motorcycle", "A motorcycle in a garage", "motorcycle"),
        Sample("camera", "A cameraman on a lawn (grey)", "man, camera, tripod, grass, sky"),
        Sample("coins", "Coins on a dark ground (grey)", "coin"),
        Sample("ihc", "Stained tissue under a microscope", "nucleus"),
    )
}
"""The sample photographs, by the name after ``sample:``."""

_FUNCTIONS = {"motorcycle": "stereo_motorcycle", "ihc": "immunohistochemistry"}


def load_sample(name: str) -> NDArray[Any]:
    """Load a sample photograph. Returns ``(H, W, 3)`` or ``(H, W)`` uint8."""
    if name not in SAMPLE_PICTURES:
        raise InputError(f'There is no sample "{name}": choose from {", ".join(SAMPLE_PICTURES)}.')
    from skimage import data

    try:
        loaded = getattr(data, _FUNCTIONS.get(name, name))()
    except Exception as error:  # the type depends on the versions of scikit-image and pooch
        raise WildsegError(
            f'The sample "{name}" is missing from this installation of scikit-image '
            f"and could not be fetched ({error}): use a picture of your own."
        ) from error
    image = loaded[0] if isinstance(loaded, tuple) else loaded
    return np.ascontiguousarray(image)
