"""One function for each parser: given any bytes, the parser keeps its promise, or an assertion fails.

The promise: it gives a valid value or raises its documented error, executes nothing, ends soon, and what it
accepts survives being written and read again.
"""

from __future__ import annotations

from .file_targets import MS, PRODUCT, SE
from .promises import TARGETS
from .text_targets import RECORDS

__all__ = ["MS", "PRODUCT", "RECORDS", "SE", "TARGETS"]
