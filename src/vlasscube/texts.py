"""Texts made fit for headers, pages, logs and terminals, and how sizes and durations are written."""

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


def shown(value: object) -> str:
    """Short Python form of a value for a message."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def printable(text: str) -> str:
    """Make unprintable characters visible, so that no text can steer a terminal or fake a line."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def printable_lines(text: str) -> str:
    """Like `printable`, line by line."""
    return "\n".join(printable(line) for line in text.split("\n"))


def duration(seconds: float) -> str:
    """Format a duration: ``0.4 s``, ``12 s``, ``3 min 05 s``, ``2 h 07 min``, ``3 d 04 h``."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 48 else f"{hours // 24} d {hours % 24:02d} h"


def data_size(size_bytes: float) -> str:
    """Format a size with decimal units: ``38.8 GB``."""
    size, units = float(size_bytes), ("B", "kB", "MB", "GB", "TB", "PB")
    power = 0
    while size >= 999.5 and power < len(units) - 1:
        size /= 1000.0
        power += 1
    return f"{size:.0f} {units[power]}" if power == 0 or size >= 99.95 else f"{size:.1f} {units[power]}"
