"""What the site has beside the pages in docs/.

The pages that stand at the top of the repository, where forges look for them, and the help texts
of the terminal.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = {
    "contributing.md": "CONTRIBUTING.md",
    "architecture.md": "ARCHITECTURE.md",
    "changelog.md": "CHANGELOG.md",
}
_LINK = re.compile(r"\[([^\]]*)\]\((?!https?:|#)([^)#]+)(#[^)]*)?\)")


def _for_the_site(text: str) -> str:
    """Turn links as seen from the top of the repository into links as seen from docs/."""
    moved = {name: page for page, name in PAGES.items()}

    def turn(match: re.Match[str]) -> str:
        words, target, anchor = match[1], match[2], match[3] or ""
        if target in moved:
            return f"[{words}]({moved[target]}{anchor})"
        if target.startswith("docs/"):
            return f"[{words}]({target.removeprefix('docs/')}{anchor})"
        return words  # a file that the site does not have

    return _LINK.sub(turn, text)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for page, name in PAGES.items():
        text = _for_the_site((ROOT / name).read_text("utf-8"))
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put the help of every command where the page asks for it; drop links out of docs/."""
    if "/" not in page.file.src_uri:
        for name, own in PAGES.items():
            markdown = markdown.replace(f"](../{own}", f"]({name}")
        markdown = re.sub(r"\[([^\]]*)\]\(\.\./[^)]*\)", r"\1", markdown)
    marker = "<!-- wildseg --help -->"
    return markdown.replace(marker, _help()) if marker in markdown else markdown


def _help() -> str:
    os.environ["COLUMNS"], os.environ["NO_COLOR"] = "88", "1"
    from napari_wildseg.cli.main import build_parser

    found = (action.choices for action in build_parser()._actions if action.dest == "command")
    return "\n".join(
        f"## wildseg {name}\n\n```text\n{command.format_help()}```\n"
        for name, command in next(found).items()
    )
