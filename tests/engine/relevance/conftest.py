"""Helper modules of these tests, and the shapes that the tiny model was trained on, by name."""

from __future__ import annotations

import sys
from pathlib import Path

here = Path(__file__).parent
for folder in (here, here.parents[2] / "training"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
