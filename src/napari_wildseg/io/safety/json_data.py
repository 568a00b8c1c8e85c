"""JSON: written deterministically, read from untrusted files."""

import codecs
import json
import math
from typing import Any

import numpy as np

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.pictures.picture_files import reason

MAX_JSON = 64_000_000
"""Longest JSON text that is read, in bytes."""


def dump_json(value: object) -> bytes:
    """Encode a value as indented JSON, deterministically.

    Lone surrogates, by which Python represents non-UTF-8 bytes of file names, are escaped.
    """
    text = json.dumps(value, ensure_ascii=False, indent=2, default=_plain, allow_nan=False)
    return (text + "\n").encode("utf-8", "backslashreplace")


def parse_json(data: bytes, where: str) -> Any:
    """Parse JSON of an untrusted file; raise `InputError` if it is invalid or too long."""
    if len(data) > MAX_JSON:
        raise InputError(f"{where} is longer than {MAX_JSON // 1_000_000} MB.")
    try:
        text = data.removeprefix(codecs.BOM_UTF8).decode("utf-8")
        return json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        what = "nested too deep" if isinstance(error, RecursionError) else reason(error)
        raise InputError(f"{where} is not valid JSON ({what}).") from error


def check_version(about: dict[str, Any], newest: int, where: str, kind: str = "format") -> None:
    """Raise `InputError` if a description is of a version that is not read."""
    version = about.get("version")
    if type(version) is not int or not 1 <= version <= newest:
        raise InputError(
            f"{where} has {kind} version {version}; this napari-wildseg reads up to {newest}: "
            "update it."
        )


def _finite(text: str) -> float:
    """Parse a number; raise `ValueError` if it is not finite."""
    value = float(text)
    if not math.isfinite(value):
        return _no_number(text)
    return value


def _no_number(text: str) -> float:
    raise ValueError(f"{text[:20]} is not a number")


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
