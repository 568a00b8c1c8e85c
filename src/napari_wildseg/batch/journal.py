"""The journal of a batch: a file on disk that records each finished image.

Each line is one JSON object, and lines are only appended. A killed process so leaves at most one
incomplete line, the last. The line of an image is written after its files.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from napari_wildseg.engine.errors import InputError, WildsegError
from napari_wildseg.engine.pictures.picture_files import reason
from napari_wildseg.io.atomic import atomic_write, cannot_write
from napari_wildseg.io.datasets import BATCH_FOLDER
from napari_wildseg.io.safety.file_names import stays_inside, usable_name
from napari_wildseg.io.safety.locks import wait_for_lock

FOLDER = BATCH_FOLDER
"""Folder in the output folder for the journal and for parts of shared files."""

_NAME = "journal.jsonl"
_FORMAT = "napari-wildseg batch"
_VERSION = 1


@dataclass(frozen=True)
class Record:
    """The result of one image of a batch."""

    name: str  # name of the image in the batch
    image: str  # path of the picture
    failure: str = ""  # why it failed, a sentence; ``""`` if it succeeded
    files: tuple[str, ...] = ()  # files written, relative to the output folder
    size: tuple[int, int] = (0, 0)  # height and width, in pixels
    # Number of pixels of each class that it was segmented into, by id.
    classes: Mapping[int, int] = field(default_factory=dict)
    # ``"score"`` in [0, 1], by which the report ranks images, and its components.
    uncertainty: Mapping[str, float] = field(default_factory=dict)
    notices: tuple[str, ...] = ()  # messages for the annotator
    memory: str = ""  # short digest of the class memory used; ``""`` for none
    # Descriptor of the image, see `napari_wildseg.batch.likeness`; empty if unknown.
    look: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the record as a JSON object."""
        if self.failure:
            return {"name": self.name, "image": self.image, "failure": self.failure}
        return {
            "name": self.name,
            "image": self.image,
            "files": list(self.files),
            "size": list(self.size),
            "classes": {str(number): pixels for number, pixels in self.classes.items()},
            "uncertainty": dict(self.uncertainty),
            "notices": list(self.notices),
            **({"memory": self.memory} if self.memory else {}),
            **({"look": list(self.look)} if self.look else {}),
        }

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> Record:
        """Read what `to_json` returned."""
        if not usable_name(str(entry["name"])):
            raise InputError(f"{str(entry['name'])[:80]!r} cannot be the name of an image.")
        if entry.get("failure"):
            return cls(str(entry["name"]), str(entry["image"]), str(entry["failure"]))
        for file in entry["files"]:
            if not stays_inside(str(file)):
                raise InputError(f"{str(file)[:80]!r} is no file in the output folder.")
        height, width = (int(n) for n in entry["size"])
        return cls(
            str(entry["name"]),
            str(entry["image"]),
            files=tuple(str(file) for file in entry["files"]),
            size=(height, width),
            classes={int(k): int(n) for k, n in entry["classes"].items()},
            uncertainty={str(k): float(v) for k, v in entry["uncertainty"].items()},
            notices=tuple(str(notice) for notice in entry["notices"]),
            memory=str(entry.get("memory", "")),
            look=tuple(float(value) for value in entry.get("look", ())),
        )


def corrections_file(folder: Path, name: str) -> Path:
    """Return the file of the corrections made in review of an image."""
    return folder / FOLDER / "corrections" / f"{name}.png"


def has_journal(folder: Path) -> bool:
    """Whether a folder has the journal of a batch."""
    return (folder / FOLDER / _NAME).is_file()


class Journal:
    """The journal in an output folder, locked by one process at a time.

    Attributes
    ----------
    header : dict or None
        Settings of the batch; None before `start`.
    begun : set of str
        Names of images whose files may exist, complete or not.
    records : dict of str to Record
        Records of finished images, by name.
    """

    def __init__(self, folder: Path, wait: float = 0.0, *, lock: bool = True) -> None:
        self.path = folder / FOLDER / _NAME
        self.header: dict[str, Any] | None = None
        self.begun: set[str] = set()
        self.records: dict[str, Record] = {}
        self._file: BinaryIO | None = None
        self._lock: BinaryIO | None = None
        try:
            if lock:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._lock = (self.path.parent / "lock").open("ab")
                if not wait_for_lock(self._lock, wait):
                    raise InputError(
                        f"Another batch is writing to {folder}: wait for it, or choose another "
                        "folder."
                    )
            self._read()
        except OSError as error:
            raise cannot_write(folder, error) from error
        except BaseException:
            self.close()
            raise

    def start(self, header: dict[str, Any], *, anew: bool = False) -> None:
        """Append a header, which replaces earlier ones, and open the journal for appending.

        With ``anew``, all earlier lines are removed.
        """
        header = {**header, "format": _FORMAT, "version": _VERSION}
        self.header = {key: header[key] for key in sorted(header)}  # in a fixed order
        if anew:
            self.records.clear()
            self.begun.clear()
            atomic_write(self.path, _line(self.header), overwrite=True)
        try:
            if self._file is None:
                self._file = self.path.open("ab")
            if self._file.tell():
                self._file.write(b"\n")  # ends an incomplete line; blank lines are skipped
        except OSError as error:
            raise WildsegError(f"{self.path} cannot be written: {reason(error)}.") from error
        self._append(self.header, sync=True)

    def begin(self, name: str) -> None:
        """Record that the files of an image are about to be written."""
        if name not in self.begun:
            self._append({"begin": name}, sync=False)
            self.begun.add(name)

    def add(self, record: Record) -> None:
        """Append the record of an image and flush it to disk."""
        self._append(record.to_json(), sync=True)
        self.records[record.name] = record

    def compact(self, names: list[str]) -> None:
        """Rewrite the journal in the order of the work list, so that its bytes are reproducible."""
        lines = [self.header or {}, *(self.records[name].to_json() for name in names)]
        data = b"".join(_line(line) for line in lines)
        if self._file is not None:
            self._file.close()
            self._file = None
        atomic_write(self.path, data, overwrite=True)

    def close(self) -> None:
        """Close the files and release the lock."""
        for file in (self._file, self._lock):
            if file is not None:
                file.close()
        self._file = self._lock = None

    def _append(self, entry: dict[str, Any], *, sync: bool) -> None:
        assert self._file is not None, "start comes first"
        self._check_there()
        try:
            self._file.write(_line(entry))
            self._file.flush()
            if sync:
                os.fsync(self._file.fileno())
        except OSError as error:
            raise WildsegError(
                f"{self.path} cannot be written: {reason(error)}; "
                "make room and go on with --resume."
            ) from error

    def _check_there(self) -> None:
        """Raise `WildsegError` if the journal was deleted or replaced since it was opened."""
        assert self._file is not None
        try:
            there = os.path.samestat(os.fstat(self._file.fileno()), self.path.stat())
        except OSError:
            there = False
        if not there:
            raise WildsegError(
                f"{self.path.parent.parent} was deleted or replaced while a batch was writing to "
                "it: start the batch again."
            )

    def _read(self) -> None:
        if not self.path.is_file():
            return
        with self.path.open("rb") as file:
            for line in file:
                try:
                    entry = json.loads(line)
                    if "format" in entry:
                        if entry["format"] != _FORMAT or entry["version"] > _VERSION:
                            raise InputError("a later napari-wildseg wrote it; update yours.")
                        self.header = entry
                    elif "begin" in entry:
                        self.begun.add(str(entry["begin"]))
                    else:
                        record = Record.from_json(entry)
                        self.records[record.name] = record
                        self.begun.add(record.name)
                except InputError as error:
                    raise InputError(f"{self.path} cannot be used: {error}") from error
                except (ValueError, KeyError, TypeError, AttributeError):
                    continue  # incomplete after a crash: that image is segmented again


def _line(entry: Mapping[str, Any]) -> bytes:
    return json.dumps(entry, ensure_ascii=True, allow_nan=False).encode("ascii") + b"\n"
