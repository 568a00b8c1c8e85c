"""The engine: from an image and class names to masks, without napari or Qt."""
