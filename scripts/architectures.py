"""List which of open_clip's architectures can be used, in docs/architectures.md.

    python scripts/architectures.py

Each is asked as a download would ask (`architecture.unsupported`), with the package transformers
installed, and then whether it needs that package.
"""

from __future__ import annotations

from pathlib import Path

import open_clip

from napari_wildseg.engine.models.architecture import builtin_architecture, unsupported

PAGE = Path(__file__).parents[1] / "docs" / "architectures.md"
START, END = "<!-- list: scripts/architectures.py -->", "<!-- end of list -->"


def listing() -> str:
    """The list in Markdown."""
    plain, more, refused = [], [], []
    names = open_clip.list_models()
    for name in names:
        architecture = builtin_architecture(name)
        reason = unsupported(architecture)
        text = architecture.config["text_cfg"]
        if reason is not None:
            refused.append(f"* {reason}")
        elif text.get("hf_tokenizer_name") or text.get("hf_model_name"):
            more.append(f"`{name}`")
        else:
            plain.append(f"`{name}`")
    usable = len(plain) + len(more)
    return "\n\n".join(
        (
            f"{usable} of the {len(names)} architectures of open_clip {open_clip.__version__}.",
            f"Without another package ({len(plain)}): {', '.join(plain)}.",
            f'With `pip install "napari-wildseg[transformers]"` ({len(more)}): {", ".join(more)}.',
            "Not:",
            "\n".join(refused),
        )
    )


def main() -> None:
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(START)
    _, after = rest.split(END)
    PAGE.write_text(f"{before}{START}\n\n{listing()}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
