"""The report of a batch: records of all images, ranked by uncertainty."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_wildseg.batch.journal import Record
from napari_wildseg.batch.origin import Origin, origins_of
from napari_wildseg.engine.checks import checked_path
from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.errors import InputError
from napari_wildseg.io.atomic import atomic_write
from napari_wildseg.io.formats.png import read_json
from napari_wildseg.io.label_image import classes_from_json, classes_to_json
from napari_wildseg.io.safety.file_names import stays_inside
from napari_wildseg.io.safety.json_data import dump_json

REPORT_NAME = "report.json"
_TABLE_NAME = "report.csv"
_FORMAT = "napari-wildseg batch report"
_VERSION = 1


@dataclass(frozen=True)
class Report:
    """A finished batch.

    Attributes
    ----------
    records : tuple of Record
        One per image, in the order of the work list.
    classes : tuple of ClassInfo
        Classes of the whole set.
    format : str
        Output format.
    settings : dict
        Settings of the segmentation.
    files : tuple of str
        Files that all images share, relative to the output folder.
    made_by : tuple of Origin
        Program versions and weights used; one, unless mixing was allowed.
    """

    records: tuple[Record, ...]
    classes: tuple[ClassInfo, ...]
    format: str
    settings: Mapping[str, Any]
    files: tuple[str, ...] = ()
    made_by: tuple[Origin, ...] = ()

    @property
    def done(self) -> tuple[Record, ...]:
        """Records of the images that have labels."""
        return tuple(record for record in self.records if not record.failure)

    @property
    def failed(self) -> tuple[Record, ...]:
        """Records of the images that failed."""
        return tuple(record for record in self.records if record.failure)

    @property
    def review(self) -> tuple[Record, ...]:
        """Records in order of decreasing uncertainty."""
        return tuple(sorted(self.done, key=lambda r: (-r.uncertainty.get("score", 0.0), r.name)))

    def write(self, folder: Path) -> None:
        """Write ``report.json`` and, for spreadsheets, ``report.csv``.

        Parameters
        ----------
        folder : Path
            The output folder.
        """
        rank = {record.name: place for place, record in enumerate(self.review, start=1)}
        content = {
            "format": _FORMAT,
            "version": _VERSION,
            "output": self.format,
            "settings": dict(self.settings),
            "made_by": [origin.to_json() for origin in self.made_by],
            "classes": classes_to_json(self.classes),
            "files": list(self.files),
            "images": len(self.records),
            "failed": [record.to_json() for record in self.failed],
            "review": [{"rank": rank[r.name], **r.to_json()} for r in self.review],
        }
        atomic_write(folder / REPORT_NAME, dump_json(content), overwrite=True)
        # Bytes of names that are not UTF-8 are escaped.
        table = self._table(rank).encode("utf-8", "backslashreplace")
        atomic_write(folder / _TABLE_NAME, table, overwrite=True)

    def _table(self, rank: Mapping[str, int]) -> str:
        parts = list(dict.fromkeys(key for r in self.done for key in r.uncertainty))
        names = {info.id: info.name for info in self.classes}
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["rank", "name", "image", *parts, "classes", "failure"])
        for record in (*self.review, *self.failed):
            found = [names[n] for n, pixels in record.classes.items() if pixels and n in names]
            table.writerow(
                [
                    rank.get(record.name, ""),
                    record.name,
                    record.image,
                    *[f"{record.uncertainty[p]:.4f}" if record.uncertainty else "" for p in parts],
                    ", ".join(found),
                    record.failure,
                ]
            )
        return text.getvalue()


def read_report(folder: str | Path) -> Report:
    """Read the report of a finished batch.

    Parameters
    ----------
    folder : str or Path
        The output folder, or its ``report.json``.

    Returns
    -------
    Report
        Its records are in the order of review, failures last.

    Raises
    ------
    InputError
        If there is no report, or the file is not a report of a batch.
    """
    path = checked_path(folder, "folder")
    path = path / REPORT_NAME if path.is_dir() else path
    if not path.is_file():
        raise InputError(f"There is no {path}: choose the output folder of a finished batch.")
    content = read_json(path)
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise InputError(f"{path} is not the report of a batch.")
    if type(content.get("version")) is not int or content["version"] > _VERSION:
        raise InputError(f"{path} was written by a later napari-wildseg: update it.")
    try:
        entries: Sequence[Mapping[str, Any]] = [*content["review"], *content["failed"]]
        if not all(stays_inside(str(file)) for file in content["files"]):
            raise InputError("it names a file outside of the folder.")
        return Report(
            tuple(Record.from_json(entry) for entry in entries),
            classes_from_json(content["classes"], path.name),
            str(content["output"]),
            dict(content["settings"]),
            tuple(str(file) for file in content["files"]),
            origins_of(content),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InputError):
            raise InputError(f"{path} cannot be used: {error}") from error
        raise InputError(f"{path} is damaged: run the batch again with --resume.") from error
