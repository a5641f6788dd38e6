"""The bodies of responses, unpacked as they come and never beyond a bound.

A few kilobytes may unpack to gigabytes, so the bound is on what comes out, piece by piece.
"""

from __future__ import annotations

import zlib
from typing import Protocol

from onrecord.errors import ToolError

ACCEPTED = "gzip, deflate"


class Unpacking(Protocol):
    """One body on its way."""

    def feed(self, piece: bytes, most: int) -> bytes:
        """What a piece unpacks to: at most `most` bytes (at least 1). Raises ToolError."""

    def is_whole(self) -> bool:
        """Whether the body ended where it says that it ends."""


def unpacking(encoding: str) -> Unpacking:
    """How a body is unpacked, by its Content-Encoding. Raises ToolError for one that was not
    asked for."""
    named = encoding.strip().lower()
    if named in ("", "identity"):
        return _AsItIs()
    if named in ("gzip", "x-gzip"):
        return _Inflating(16 + zlib.MAX_WBITS)
    if named == "deflate":
        return _Inflating(zlib.MAX_WBITS)
    raise ToolError(
        f"the server packed its answer as {named[:40]!r}, which was not asked for",
        cure="Ask for another address.",
    )


class _AsItIs:
    def feed(self, piece: bytes, most: int) -> bytes:
        return piece[:most]

    def is_whole(self) -> bool:
        return True


class _Inflating:
    def __init__(self, window: int) -> None:
        self._window = window
        self._inner = zlib.decompressobj(window)
        self._begun = False

    def feed(self, piece: bytes, most: int) -> bytes:
        found = b""
        while piece and len(found) < most:
            if self._inner.eof:  # several packed bodies, one after the other, are one body
                self._inner = zlib.decompressobj(self._window)
            found += self._inflated(piece, most - len(found))
            self._begun = True
            piece = self._inner.unused_data
        return found

    def _inflated(self, piece: bytes, most: int) -> bytes:
        try:
            return self._inner.decompress(piece, most)
        except zlib.error:
            if not self._begun and self._window == zlib.MAX_WBITS:
                self._window = -zlib.MAX_WBITS  # some servers send it without its header
                self._inner = zlib.decompressobj(self._window)
                return self._inflated(piece, most)
            raise ToolError("the server's answer cannot be unpacked: it is damaged") from None

    def is_whole(self) -> bool:
        return self._inner.eof or not self._begun
