"""What the documentation tells people to type exists: commands, names, files."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest

from napari_wildseg.cli.main import build_parser

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "training/README.md"]
    if path.is_file()
)
FENCE = re.compile(r"^```(\w+)?\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s#]*)(?:#([^)\s]*))?\)")


def named(path):
    return str(path.relative_to(ROOT))


def blocks(page, *languages):
    return [code for kind, code in FENCE.findall(page.read_text("utf-8")) if kind in languages]


def anchors(page):
    """Anchors of the headings, as forges and the site make them."""
    text = FENCE.sub("", page.read_text("utf-8"))
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        words = re.sub(r"[^\w\- ]", "", heading.lower())
        yield re.sub(r"\s", "-", words.strip())


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page):
    text = FENCE.sub("", page.read_text("utf-8"))
    for target, anchor in LINK.findall(text):
        if re.match(r"\w+:", target):
            continue
        found = page if not target else page.parent / target
        assert found.exists(), f"{named(page)} links to {target}"
        if anchor:
            assert anchor in anchors(found), f"{named(page)} links to {target}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_are_taken_by_the_parser(page):
    parser = build_parser()
    for code in blocks(page, "sh", "console"):
        for line in code.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words and re.match(r"[A-Z_]+=", words[0]):
                words = words[1:]
            if words[:3] == ["python", "-m", "napari_wildseg"]:
                words = ["wildseg", *words[3:]]
            if words[:1] != ["wildseg"] or "--version" in words or "--help" in words:
                continue
            for end in (">", "|", "&&"):
                words = words[: words.index(end)] if end in words else words
            try:
                parser.parse_args(words[1:])
            except SystemExit as stop:
                pytest.fail(f"{named(page)}: {line} (exit status {stop.code})")


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_python_is_python_and_imports_what_there_is(page):
    for code in blocks(page, "python"):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    importlib.import_module(alias.name)
            elif isinstance(node, ast.ImportFrom) and node.module:
                module = importlib.import_module(node.module)
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{named(page)}: {alias.name}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_scripts_that_are_named_are_there(page):
    for code in blocks(page, "sh"):
        for script in re.findall(r"(?:bash|python) ([\w./]+\.(?:sh|py))", code):
            assert (ROOT / script).is_file(), f"{named(page)}: {script}"
