"""Modified UTF-8, the text encoding of Java streams: NUL as two bytes, characters beyond the BMP as two surrogates."""

from __future__ import annotations


def decode(raw: bytes) -> str:
    """Text of modified UTF-8; an unpaired surrogate stays one.

    Raises
    ------
    UnicodeDecodeError
        The bytes are not modified UTF-8.
    """
    if raw.isascii():
        return raw.decode("ascii")
    units = raw.replace(b"\xc0\x80", b"\x00").decode("utf-8", "surrogatepass")
    return units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def encode(text: str) -> bytes:
    """Modified UTF-8 of a text."""
    if text.isascii():
        return text.encode("ascii").replace(b"\x00", b"\xc0\x80")
    units = "".join(c if ord(c) < 0x10000 else _surrogates(c) for c in text)
    return units.encode("utf-8", "surrogatepass").replace(b"\x00", b"\xc0\x80")


def _surrogates(character: str) -> str:
    code = ord(character) - 0x10000
    return chr(0xD800 | code >> 10) + chr(0xDC00 | code & 0x3FF)
