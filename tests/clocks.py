"""Clocks of processor time: bounds on it hold however busy the machine is with other work."""

from __future__ import annotations

import resource


def children_processor_s() -> float:
    """Processor time of the child processes that have ended so far, and of theirs, in seconds."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
