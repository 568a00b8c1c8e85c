"""``python -m napari_wildseg`` is the ``wildseg`` command."""

import sys

from napari_wildseg.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
