"""Detection of decompression bombs in untrusted files.

Libraries decompress a chunk completely before they check its length. A chunk of one megabyte can
decompress to 1 GB (deflate) or 40 GB (zstd), whatever size the file declares.
"""

import zlib

MAX_UNCHECKED_BYTES = 64_000_000
"""Chunks that cannot decompress to more bytes are not checked."""
_DEFLATE = 1032  # largest compression ratio of deflate


def deflate_within(data: bytes, limit: int) -> bool:
    """Whether zlib or gzip data decompress to at most ``limit`` or `MAX_UNCHECKED_BYTES` bytes.

    Examples
    --------
    >>> deflate_within(zlib.compress(bytes(200_000_000)), 1_000_000)
    False
    """
    allowed = max(limit, MAX_UNCHECKED_BYTES)
    if len(data) * _DEFLATE <= allowed:
        return True
    unpack = zlib.decompressobj(wbits=47)  # detects zlib and gzip headers
    total = 0
    try:
        while data and total <= allowed:
            total += len(unpack.decompress(data, 1 << 20))
            data = unpack.unconsumed_tail
    except zlib.error:
        return True
    return total <= allowed


def declared_within(codec: str, header: bytes, limit: int) -> bool:
    """Whether the header of a chunk declares at most ``limit`` or `MAX_UNCHECKED_BYTES` bytes."""
    allowed = max(limit, MAX_UNCHECKED_BYTES)
    if codec == "blosc":
        return int.from_bytes(header[4:8], "little") <= allowed
    if codec == "lz4":
        return int.from_bytes(header[:4], "little") <= allowed
    size = _zstd_size(header)
    return size is not None and size <= allowed


def _zstd_size(header: bytes) -> int | None:
    """Return the content size of a zstd frame (RFC 8878, 3.1.1); None if it is not declared."""
    if header[:4] != b"\x28\xb5\x2f\xfd" or len(header) < 6:
        return 0 if len(header) < 6 else None
    flags = header[4]
    kind, single, dictionary = flags >> 6, bool(flags & 32), (0, 1, 2, 4)[flags & 3]
    length = (1 if single else 0, 2, 4, 8)[kind]
    if length == 0:
        return None
    start = 5 + (0 if single else 1) + dictionary
    size = int.from_bytes(header[start : start + length], "little")
    return size + 256 if length == 2 else size
