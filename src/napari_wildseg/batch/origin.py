"""What made the images of a batch: a resumed one shall not mix labels of two kinds unseen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from napari_wildseg.engine.errors import InputError


@dataclass(frozen=True)
class Origin:
    """A version of the program and the weights it used."""

    program: str  # version of napari-wildseg
    weights: str  # fingerprint of the model (`CLIPModel.fingerprint`)

    def to_json(self) -> dict[str, str]:
        """Return an object for `origins_of`."""
        return asdict(self)


def this_program() -> str:
    """Return the version of napari-wildseg that runs."""
    import napari_wildseg

    return napari_wildseg.__version__


def origins_of(header: Mapping[str, Any]) -> tuple[Origin, ...]:
    """Read what a journal's header says of the runs that did its images."""
    entries = header.get("made_by")
    return tuple(
        Origin(str(entry.get("program")), str(entry.get("weights")))
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict)
    )


def with_origin(
    before: Sequence[Origin], origin: Origin, folder: Path, *, mix: bool
) -> tuple[Origin, ...]:
    """Return the origins of a batch that is gone on with, this run's among them."""
    if not before or origin in before:
        return tuple(before) or (origin,)
    if mix:
        return (*before, origin)
    last = before[-1]
    if last.program != origin.program:
        what = (
            f"was begun by napari-wildseg {last.program}, and this is {origin.program}: labels may "
            f"differ. Go on with {last.program},"
        )
    else:
        what = (
            "was begun with other weights under the same model name: labels will differ. Go on "
            "with the weights it was begun with,"
        )
    raise InputError(
        f"The batch in {folder} {what} choose another --out, start anew with --overwrite, or add "
        "--mix-versions to have both in one data set."
    )
