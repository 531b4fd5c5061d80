"""Names that vlasscube gives to what is not whole yet, or no more; all others are somebody else's."""

from __future__ import annotations

import re

_LEFTOVER = re.compile(
    r"""
    \. (?:
        .+ \. \d+ \. \d+ \. (?: partial | doomed )           # being written or removed by workspace.files
      | .+ \. [0-9a-f]{32} \. partial                        # a lock file that is being broken
      | look \. .+ \. \d+ \. partial                         # a mark that a machine sees changes by
      | (?: locks | check | resources ) \. [a-z0-9_]{8} \. partial   # made by tempfile
      | (?: casa | export | restore | split_input ) \. partial
      | .+ _split\.ms \. partial
      | s \d+ _ 0 \. .+ \. IQUV \. iter \d+ (?: \. .+ )? \. partial
    )
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)


def is_leftover(name: str) -> bool:
    """Whether a step that was interrupted may have left this behind, and no one else.

    Parameters
    ----------
    name : str
        Of a file or directory in ``working/``, ``records/`` or ``weblog/``, without directories.
    """
    return _LEFTOVER.fullmatch(name) is not None
