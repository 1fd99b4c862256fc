"""What damaged slide files look like from inside, and what to say about them."""

from __future__ import annotations

import struct

DAMAGED = "the slide file is damaged or incomplete"
COPY_AGAIN = "Copy it again from the scanner or archive."

READ_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
)
"""All that tifffile, tiffslide, imagecodecs and Pillow were seen to raise on damaged files: they trust what they read.
SyntaxError is Pillow's word for a broken PNG and the XML parser's for broken XML."""
