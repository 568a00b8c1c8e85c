"""Project files as a label format: labels, classes and corrections."""

from pathlib import Path

from napari_wildseg.io.formats.label_format import Format
from napari_wildseg.io.label_image import LabelImage
from napari_wildseg.io.project import PROJECT_SUFFIX, Project, load_project, save_project


def write(path: Path, labels: LabelImage, *, overwrite: bool = False) -> list[Path]:
    """Write a project that holds labels only, without pseudo-labels."""
    return [save_project(path, Project(labels), overwrite=overwrite)]


def read(path: Path) -> LabelImage:
    """Read the labels of a project; `load_project` reads the rest too."""
    return load_project(path).labels


PROJECT_FORMAT = Format(
    "project", "Project of napari-wildseg", (PROJECT_SUFFIX,), read, write, stacks=True
)
