"""What a package index shows of the project: addresses, and the README with absolute links."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class Metadata(MetadataHookInterface):
    """Fills in what pyproject.toml calls dynamic."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the README and the addresses."""
        root = Path(self.root)
        addresses = runpy.run_path(str(root / "src/napari_wildseg/addresses.py"))
        readme = (root / "README.md").read_text("utf-8")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": addresses["absolute"](readme),
        }
        metadata["urls"] = addresses["URLS"]
