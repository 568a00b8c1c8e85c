"""Masks in the forms of files: polygons, run lengths, unlabelled pixels, other programs' values."""
