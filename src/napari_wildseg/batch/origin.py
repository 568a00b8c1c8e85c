"""Program versions and weights that made a batch; a resumed batch refuses to mix them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from napari_wildseg.engine.errors import InputError


@dataclass(frozen=True)
class Origin:
    """A program version and the weights it used."""

    program: str  # version of napari-wildseg
    weights: str  # fingerprint of the model (`CLIPModel.fingerprint`)

    def to_json(self) -> dict[str, str]:
        """Return the origin as a JSON object."""
        return asdict(self)


def this_program() -> str:
    """Return the running version of napari-wildseg."""
    import napari_wildseg

    return napari_wildseg.__version__


def origins_of(header: Mapping[str, Any]) -> tuple[Origin, ...]:
    """Read the origins from the header of a journal or a report."""
    entries = header.get("made_by")
    return tuple(
        Origin(str(entry.get("program")), str(entry.get("weights")))
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict)
    )


def with_origin(
    before: Sequence[Origin], origin: Origin, folder: Path, *, mix: bool
) -> tuple[Origin, ...]:
    """Add this run's origin to those of a resumed batch; raise `InputError` unless ``mix``."""
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
