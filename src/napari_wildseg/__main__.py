"""``python -m napari_wildseg`` is the ``wildseg`` command."""

from __future__ import annotations

import sys

from napari_wildseg.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
