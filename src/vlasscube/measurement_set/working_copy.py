"""The working measurement set: made from the input, changed by the restore, made again if in doubt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vlasscube import casa
from vlasscube.workspace import publish, remove


def flag_versions_directory(working_ms: Path) -> Path:
    """Where CASA keeps the flag versions of a measurement set."""
    return working_ms.with_name(f"{working_ms.name}.flagversions")


def _touched_marker(working_ms: Path) -> Path:
    return working_ms.with_name(f"{working_ms.name}.touched")


def make_working_copy(input_ms: Path, output: Path, field_ids: Sequence[int], spw: str) -> None:
    """Split fields and spectral windows, keeping their ids, and initialise the weights.

    WEIGHT becomes 2·Δν·Δt (``wtmode='nyq'``). The input is not modified. What stood under ``output``, and its
    flag versions, are replaced.

    Parameters
    ----------
    input_ms, output : Path
        Measurement sets.
    field_ids : sequence of int
        Fields to keep.
    spw : str
        Spectral windows to keep, e.g. ``'2,3,4'``.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.name}.partial")
    remove(partial)
    casa.run_task(
        "mstransform",
        vis=str(input_ms),
        outputvis=str(partial),
        field=",".join(str(field_id) for field_id in sorted(field_ids)),
        spw=spw,
        datacolumn="data",
        chanbin=1,
        timebin="0s",
        reindex=False,
    )
    casa.run_task("initweights", vis=str(partial), wtmode="nyq")
    remove(output)
    remove(flag_versions_directory(output))
    _touched_marker(output).unlink(missing_ok=True)
    remove(flag_versions_directory(partial))
    publish(partial, output)


def is_pristine(working_ms: Path) -> bool:
    """Whether nothing has changed the working measurement set since it was made."""
    return working_ms.is_dir() and not _touched_marker(working_ms).exists()


def mark_touched(working_ms: Path) -> None:
    """Note that the working measurement set is about to be changed."""
    _touched_marker(working_ms).touch()
