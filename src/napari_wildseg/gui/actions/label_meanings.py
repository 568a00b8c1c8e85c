"""What label values mean in the files of a session, so that files that disagree are noticed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from napari_wildseg.io import LabelImage


class LabelMeanings:
    """What label values mean in the files of a session, folder by folder."""

    def __init__(self) -> None:
        self._files: dict[tuple[Path, str], dict[int, str]] = {}

    def note(self, folder: Path, labels: LabelImage) -> str:
        """Take note of a file; return a sentence if it disagrees with another in its folder."""
        here = {info.id: info.name for info in labels.classes}
        numbers = {name: number for number, name in here.items()}
        self._files[folder, labels.image] = here
        for (place, image), there in self._files.items():
            if place != folder or image == labels.image:
                continue
            for number, name in there.items():
                text = ""
                if here.get(number, name) != name:
                    text = f"Label {number} is {here[number]} here and {name} in {image}."
                elif numbers.get(name, number) != number:
                    text = f"{name} is label {numbers[name]} here and {number} in {image}."
                if text:
                    return (
                        f'{text} With "Same classes for all images" labels mean the same in '
                        "every file."
                    )
        return ""
