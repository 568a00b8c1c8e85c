"""Implementation of `Result.save`: writes a result to a label file or a project."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from napari_wildseg.engine.checks import checked_path
from napari_wildseg.engine.result import Result
from napari_wildseg.io.label_image import LabelImage
from napari_wildseg.io.labels import write_labels
from napari_wildseg.io.project import PROJECT_SUFFIX, Project, save_project


def save_result(
    path: str | Path, result: Result, *, image: str = "", overwrite: bool = False, **options: Any
) -> list[Path]:
    """Write a result to a file; see `napari_wildseg.Result.save`."""
    attributes = {field.name for field in fields(LabelImage)}
    about = {name: options.pop(name) for name in list(options) if name in attributes}
    labels = LabelImage.from_result(result, image=image, **about)
    path = checked_path(path)
    if path.suffix.lower() == PROJECT_SUFFIX:
        project = Project(labels, pseudo_labels=result.pseudo_labels)
        return [save_project(path, project, overwrite=overwrite, **options)]
    return write_labels(path, labels, overwrite=overwrite, **options)
