"""Who does the images: lanes of this process, workers of a Dask scheduler."""
