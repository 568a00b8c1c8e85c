"""Class names: colours, text vectors, vocabularies, which names are in an image."""
