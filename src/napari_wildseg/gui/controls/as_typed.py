"""Names as an annotator would have to type them."""


def quoted(name: str) -> str:
    """Put a name into quotes where it would be read as something else.

    Examples
    --------
    >>> quoted("salt, pepper"), quoted("cat")
    ('"salt, pepper"', 'cat')
    """
    if not any(mark in name for mark in ',"\n'):
        return name
    return '"' + name.replace('"', '""') + '"'
