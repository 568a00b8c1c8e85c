"""Relevance maps of one image: pseudo-labels, threshold, presence, uncertainty."""
