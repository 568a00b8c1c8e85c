"""Which images, under which names, into which classes, in which units."""
