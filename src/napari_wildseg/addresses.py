"""Addresses of the project. Nothing else holds one: `hatch_build.py` puts them into the package."""

import re

PROJECT = "https://napari-wildseg.example"
"""Placeholder until the project has a home; ``.example`` belongs to nobody (RFC 2606)."""

SITE = f"{PROJECT}/docs"
"""The pages that ``mkdocs build`` makes."""

FILES = f"{PROJECT}/files"
"""The files of the repository as they are, for pictures on package indexes."""

URLS = {"Documentation": SITE, "Source": f"{PROJECT}/source", "Issues": f"{PROJECT}/issues"}
"""What package indexes show."""


def page_address(page: str) -> str:
    """Return the address of a page of docs/, such as ``"widget.md#the-loop"``."""
    name, _, anchor = page.partition("#")
    return f"{SITE}/{name.removesuffix('.md')}.html" + (f"#{anchor}" if anchor else "")


def absolute(text: str) -> str:
    """Return Markdown of the repository's top folder whose links lead to `FILES`."""
    return re.sub(r"(\]\()(?!\w+:|#)([^)\s]+)", rf"\g<1>{FILES}/\g<2>", text)
