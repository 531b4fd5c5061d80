"""Texts of a measurement set, made fit for headers, pages, logs and terminals."""

from __future__ import annotations

import re

MAX_TEXT = 200
MAX_HEADER_TEXT = 68
"""What a FITS card holds, each apostrophe counted twice."""


def plain_text(text: str) -> str:
    """Cut a text to 200 characters and replace those that are not printable."""
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text[:MAX_TEXT])
    return shown.strip()


def header_text(text: str) -> str:
    """Bring a text into the form that a FITS card takes, printable ASCII that fits."""
    shown = "".join(char if " " <= char <= "~" else "?" for char in text[: MAX_HEADER_TEXT + 1])
    # There astropy sees the end of the text and a comment.
    shown = re.sub(r"'( *)/", r"?\1/", shown)
    while len(shown) + shown.count("'") > MAX_HEADER_TEXT:
        shown = shown[:-1]
    return shown
