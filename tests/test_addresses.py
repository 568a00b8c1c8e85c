"""Addresses of the project come from one constant; the pages and pictures they name exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from napari_wildseg import addresses
from napari_wildseg.gui.help import HELP_TOPICS, LOOP
from napari_wildseg.gui.sections import EXTRA
from napari_wildseg.gui.sections.export_section import ExportSection
from napari_wildseg.gui.sections.memory_section import MemorySection
from napari_wildseg.gui.sections.names_section import NamesSection
from napari_wildseg.gui.sections.section import ToolGroup
from napari_wildseg.gui.sections.welcome_section import WelcomeSection

from .test_docs import anchors

ROOT = Path(__file__).parent.parent
SECTIONS = (*EXTRA, ExportSection, MemorySection, NamesSection, ToolGroup, WelcomeSection)


@pytest.mark.parametrize(
    "page", sorted({LOOP, *(s.page for s in SECTIONS), *(one.page for one in HELP_TOPICS)})
)
def test_help_opens_pages_and_headings_that_exist(page):
    name, _, anchor = page.partition("#")
    path = ROOT / "docs" / name
    assert path.is_file()
    assert not anchor or anchor in anchors(path)
    assert name in (ROOT / "mkdocs.yml").read_text("utf-8")


@pytest.mark.parametrize("one", HELP_TOPICS, ids=lambda one: one.words)
def test_messages_that_are_explained_exist(one):
    source = "\n".join(p.read_text("utf-8") for p in (ROOT / "src").rglob("*.py"))
    parts = re.sub(r'"\s*\n\s*f?"', "", source)  # literals that go over several lines
    assert parts.count(one.words) > 1, "beside the table itself"


def test_the_address_of_a_page():
    assert addresses.page_address("widget.md#the-loop") == (
        f"{addresses.SITE}/widget.html#the-loop"
    )
    assert addresses.page_address("memory.md") == f"{addresses.SITE}/memory.html"


def test_a_package_index_gets_absolute_links_to_files_that_exist():
    text = addresses.absolute((ROOT / "README.md").read_text("utf-8"))
    links = re.findall(r"\]\(([^)#]+)", text)
    ours = [link for link in links if link.startswith(addresses.FILES)]
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    assert pictures
    assert set(pictures) <= set(ours)
    assert all(link.startswith("https://") for link in links)
    for link in ours:
        assert (ROOT / link.removeprefix(f"{addresses.FILES}/")).exists(), link


def test_no_other_file_holds_an_address_of_the_project():
    host = addresses.PROJECT.removeprefix("https://")
    files = [*ROOT.glob("*.*"), *(ROOT / "src").rglob("*.py"), *(ROOT / "docs").rglob("*.md")]
    holders = {p.name for p in files if p.is_file() and host in p.read_text("utf-8", "ignore")}
    assert holders == {"addresses.py"}
