"""The napari side: dock widget, state per layer object, worker thread, npe2 entry points."""
