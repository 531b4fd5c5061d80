"""What a cluster needs besides vlasscube."""

from __future__ import annotations

import importlib.util

from vlasscube.errors import ClusterError


def require_package(module: str, name: str) -> None:
    """Require a package that is installed for clusters only.

    Raises
    ------
    ClusterError
        If it is not.
    """
    if importlib.util.find_spec(module) is None:
        raise ClusterError(
            f"{name} is not installed",
            hint="Install it on all machines with:  pip install 'vlasscube[cluster]'",
        )
