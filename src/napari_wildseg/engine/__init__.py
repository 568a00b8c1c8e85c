"""The engine: segmentation of images by class names, without napari or Qt."""
