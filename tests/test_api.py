"""The public surface stands still: names, signatures, attributes.

A change that is meant is written down with ``python tests/test_api.py`` and told in the changelog.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from pathlib import Path

import napari_wildseg
import napari_wildseg.batch
import napari_wildseg.io

FILE = Path(__file__).parent / "data" / "api.txt"


def signature(thing):
    """Parameters without types, which may be said better from one version to the next."""
    found = inspect.signature(thing)
    plain = []
    for parameter in found.parameters.values():
        long = len(repr(parameter.default)) > 60  # a list of words, say
        default = ... if long else parameter.default
        plain.append(parameter.replace(annotation=parameter.empty, default=default))
    return str(found.replace(parameters=plain, return_annotation=found.empty))


def described(name, thing):
    if inspect.isclass(thing):
        if issubclass(thing, Exception):
            yield f"class {name}({thing.__base__.__name__})"
            return
        yield f"class {name}{signature(thing)}"
        if dataclasses.is_dataclass(thing):
            yield from (f"    {name}.{field.name}" for field in dataclasses.fields(thing))
        ours = [one for one in thing.__mro__ if one.__module__.startswith("napari_wildseg")]
        members = {name: found for one in reversed(ours) for name, found in vars(one).items()}
        for member, found in sorted(members.items()):
            if isinstance(found, property) and not member.startswith("_"):
                yield f"    {name}.{member} (property)"
            elif callable(getattr(thing, member, None)) and not member.startswith("_"):
                yield f"    {name}.{member}{signature(getattr(thing, member))}"
    elif callable(thing):
        yield f"{name}{signature(thing)}"
    else:
        yield name


def surface():
    lines = []
    for module in (napari_wildseg, napari_wildseg.io, napari_wildseg.batch):
        lines.append(f"# {module.__name__}")
        for name in sorted(module.__all__):
            lines += described(name, getattr(module, name))
        lines.append("")
    return "\n".join(lines)


def test_the_public_surface_is_as_written_down():
    assert surface() == FILE.read_text("utf-8"), "see the first lines of tests/test_api.py"


def test_every_public_name_is_in_the_reference():
    page = (Path(__file__).parents[1] / "docs" / "api" / "index.md").read_text("utf-8")
    for name in set(napari_wildseg.__all__) - {"__version__", "InputError", "WildsegError"}:
        assert re.search(rf"^::: [\w.]+\.{name}$", page, re.MULTILINE), name


if __name__ == "__main__":
    FILE.write_text(surface(), "utf-8")
    sys.stdout.write(surface())
