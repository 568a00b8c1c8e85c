"""Class names: colours, text vectors, vocabularies, and image-level tagging."""
