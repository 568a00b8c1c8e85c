"""Compressed pieces of untrusted files: does one unpack to more than it may?

Libraries unpack a piece whole and look at its length afterwards. A piece of a megabyte can unpack
to a gigabyte (deflate) or to forty (zstd), whatever size the file declares.
"""

from __future__ import annotations

import zlib

HARMLESS = 64_000_000
"""Pieces that cannot unpack to more bytes than this are not looked into."""
_DEFLATE = 1032  # the most that deflate can grow


def deflate_within(data: bytes, limit: int) -> bool:
    """Whether deflated data (zlib or gzip) unpack to at most ``limit`` bytes, or harmless ones.

    Examples
    --------
    >>> deflate_within(zlib.compress(bytes(200_000_000)), 1_000_000)
    False
    """
    allowed = max(limit, HARMLESS)
    if len(data) * _DEFLATE <= allowed:
        return True
    unpack = zlib.decompressobj(wbits=47)  # finds out which of the two headers it has
    total = 0
    try:
        while data and total <= allowed:
            total += len(unpack.decompress(data, 1 << 20))
            data = unpack.unconsumed_tail
    except zlib.error:
        return True
    return total <= allowed


def declared_within(codec: str, header: bytes, limit: int) -> bool:
    """Whether the header of a compressed piece declares at most ``limit`` bytes."""
    allowed = max(limit, HARMLESS)
    if codec == "blosc":
        return int.from_bytes(header[4:8], "little") <= allowed
    if codec == "lz4":
        return int.from_bytes(header[:4], "little") <= allowed
    size = _zstd_size(header)
    return size is not None and size <= allowed


def _zstd_size(header: bytes) -> int | None:
    """Content size of a zstd frame (RFC 8878, 3.1.1), None where the frame does not tell."""
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
