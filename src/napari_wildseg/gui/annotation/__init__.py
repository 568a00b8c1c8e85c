"""The annotator's work: the session of an image, decisions, strokes, autosave."""
