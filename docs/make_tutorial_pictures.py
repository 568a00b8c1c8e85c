"""Follow the tutorials to the letter, and keep the pictures that they show.

    python docs/make_tutorial_pictures.py

Every command and every line of Python of the pages runs in a folder of its own, in order;
``pictures/tutorial-NAME.jpg`` is what they left as ``wildseg-out/NAME.overlay.png``.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).parent
TUTORIALS = ("tutorial-photos.md", "tutorial-microscopy.md")
FENCE = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PICTURE = re.compile(r"\(pictures/tutorial-([\w-]+)\.jpg\)")
WIDTH = 640


def run(line: str) -> None:
    """Run one line of a terminal, without a window."""
    words = shlex.split(line, comments=True)
    if not words or words[0] == "napari":
        return
    print(f"$ {line}", flush=True)
    if words[0] == "wildseg":
        words = [sys.executable, "-m", "napari_wildseg", *words[1:]]
    elif words[0] == "python":
        words[0] = sys.executable
    subprocess.run(words, check=True)


def keep(overlay: Path, name: str) -> None:
    """Reduce an overlay to the width of a page."""
    with Image.open(overlay) as opened:
        picture = opened.convert("RGB")
    if picture.width > WIDTH:
        size = (WIDTH, round(picture.height * WIDTH / picture.width))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    path = DOCS / "pictures" / f"tutorial-{name}.jpg"
    picture.save(path, quality=82, optimize=True)
    print(f"{path.name}: {picture.width} x {picture.height}, {path.stat().st_size // 1024} KB")


def main() -> int:
    """Follow every tutorial."""
    for page in TUTORIALS:
        text = (DOCS / page).read_text("utf-8")
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            names: dict[str, object] = {}
            for kind, code in FENCE.findall(text):
                if kind == "python":
                    print(f"(Python, {len(code.splitlines())} lines)", flush=True)
                    exec(compile(code, page, "exec"), names)
                else:
                    for line in code.splitlines():
                        run(line)
            for name in dict.fromkeys(PICTURE.findall(text)):
                keep(Path(folder) / "wildseg-out" / f"{name}.overlay.png", name)
            os.chdir(DOCS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
