"""Messages of a WebSocket as bytes, so that many can go out in one write (RFC 6455, section 5.2)."""

from __future__ import annotations

import struct

_FINAL, _TEXT, _BINARY = 0x80, 0x1, 0x2


def frame(content: str | bytes) -> bytes:
    """One whole message in one frame, as a server sends it: unmasked and not compressed."""
    body = content.encode() if isinstance(content, str) else content
    first = _FINAL | (_TEXT if isinstance(content, str) else _BINARY)
    size = len(body)
    if size < 126:
        return struct.pack(">BB", first, size) + body
    if size < 1 << 16:
        return struct.pack(">BBH", first, 126, size) + body
    return struct.pack(">BBQ", first, 127, size) + body
