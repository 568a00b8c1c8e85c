"""The line between present and not, without importing torch."""

from __future__ import annotations

CUT = 0.5
"""Equals `napari_wildseg.engine.tagging.CUT`, a test says so."""
