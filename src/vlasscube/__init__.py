"""Coarse full-Stokes cubes of the VLA Sky Survey."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vlasscube.run.workflow import run_workflow
    from vlasscube.workspace.directory import Workspace

    __version__: str

__all__ = ["Workspace", "__version__", "run_workflow"]


def __getattr__(name: str) -> Any:
    # The command line must start fast; the workflow pulls in numpy and astropy.
    if name == "Workspace":
        from vlasscube.workspace.directory import Workspace

        return Workspace
    if name == "run_workflow":
        from vlasscube.run.workflow import run_workflow

        return run_workflow
    if name == "__version__":
        from importlib.metadata import version

        return version("vlasscube")
    raise AttributeError(f"module 'vlasscube' has no attribute {name!r}")
