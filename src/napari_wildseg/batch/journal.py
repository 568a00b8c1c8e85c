"""The journal of a batch: what is done, on disk before the next image counts as begun.

One JSON object a line, only ever appended to, so that a process killed at any moment leaves at
most one torn line at the end. An image's line is written after its files are in place.
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
"""Folder inside the output folder that holds the journal and the parts of shared files."""

_NAME = "journal.jsonl"
_FORMAT = "napari-wildseg batch"
_VERSION = 1


@dataclass(frozen=True)
class Record:
    """What became of one image."""

    name: str  # its name in the batch
    image: str  # path of the picture
    failure: str = ""  # why it failed, a sentence; ``""`` if it is done
    files: tuple[str, ...] = ()  # what was written for it, relative to the output folder
    size: tuple[int, int] = (0, 0)  # height and width, in pixels
    # Pixels of each class it was segmented into, by id.
    classes: Mapping[int, int] = field(default_factory=dict)
    # ``"score"`` in [0, 1], by which the report ranks, and what it is made of.
    uncertainty: Mapping[str, float] = field(default_factory=dict)
    notices: tuple[str, ...] = ()  # sentences for the annotator
    memory: str = ""  # short digest of the class memory it was done with; ``""`` for none
    # What kind of image it is, see `napari_wildseg.batch.likeness`; empty where not known.
    look: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return an object for `from_json`."""
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
    """Return where the corrections made in review are kept."""
    return folder / FOLDER / "corrections" / f"{name}.png"


def has_journal(folder: Path) -> bool:
    """Whether a batch was ever started in a folder."""
    return (folder / FOLDER / _NAME).is_file()


class Journal:
    """The journal in an output folder, held by one process at a time.

    Attributes
    ----------
    header : dict or None
        How the batch was started; None if it was not yet.
    begun : set of str
        Names of images whose files may be there, whole or not.
    records : dict of str to Record
        What became of the images, by name.
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
        """Go on appending after a header, which replaces earlier ones."""
        told = {**header, "format": _FORMAT, "version": _VERSION}
        self.header = {key: told[key] for key in sorted(told)}  # in one order, whoever resumes
        if anew:
            self.records.clear()
            self.begun.clear()
            atomic_write(self.path, _line(self.header), overwrite=True)
        try:
            if self._file is None:
                self._file = self.path.open("ab")
            if self._file.tell():
                self._file.write(b"\n")  # ends a torn line; blank lines are skipped
        except OSError as error:
            raise WildsegError(f"{self.path} cannot be written: {reason(error)}.") from error
        self._append(self.header, sync=True)

    def begin(self, name: str) -> None:
        """Note that files of an image may appear from now on."""
        if name not in self.begun:
            self._append({"begin": name}, sync=False)
            self.begun.add(name)

    def add(self, record: Record) -> None:
        """Note what became of an image; on disk when this returns."""
        self._append(record.to_json(), sync=True)
        self.records[record.name] = record

    def compact(self, names: list[str]) -> None:
        """Rewrite it in the order of the work list, which no accident of timing has a part in."""
        lines = [self.header or {}, *(self.records[name].to_json() for name in names)]
        data = b"".join(_line(line) for line in lines)
        if self._file is not None:
            self._file.close()
            self._file = None
        atomic_write(self.path, data, overwrite=True)

    def close(self) -> None:
        """Let other processes have it."""
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
        """Raise where the folder was deleted or replaced: what is written then is nowhere."""
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
                    continue  # torn by a crash: that image is done again


def _line(entry: Mapping[str, Any]) -> bytes:
    return json.dumps(entry, ensure_ascii=True, allow_nan=False).encode("ascii") + b"\n"
