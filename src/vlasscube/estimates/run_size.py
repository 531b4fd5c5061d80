"""The size of a run, from the plan of its planes and the summary of its data."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from vlasscube.estimates.cube_size import CubeSize, PlaneSize
from vlasscube.images.cutouts import cutout_box
from vlasscube.options import RunOptions
from vlasscube.records import MeasurementSetSummary
from vlasscube.results.types import CubePlan, ImportResult


def run_size(
    plan: CubePlan,
    imported: ImportResult,
    ms_field_ids: Sequence[int],
    options: RunOptions,
    labels: Collection[str],
) -> CubeSize:
    """Work out the size of a run.

    Parameters
    ----------
    plan : CubePlan
        The planes of the cube.
    imported : ImportResult
        The input measurement set.
    ms_field_ids : sequence of int
        Fields of the working measurement set.
    options : RunOptions
        Options of the run.
    labels : collection of str
        Planes that count.
    """
    summary, geometry = imported.summary, plan.geometry
    box = cutout_box(
        geometry.nx,
        geometry.ny,
        geometry.cell_arcsec,
        size_pixels=plan.parameters.cutout_imsize,
        convention=options.cutout,
    )
    windows, fields = imported.science_spws, len(ms_field_ids)
    planes = tuple(
        PlaneSize(
            visibilities=plane_visibilities(summary, target.spw_ids, len(plan.field_ids)),
            frequency_hz=target.reffreq_hz,
            windows=len(target.spw_ids),
            usable=1.0 - (target.flags.fraction or 0.0),
        )
        for target in plan.targets
        if target.label in labels
    )
    rows = _rows(summary, windows, fields)
    antennas = len(summary.antennas)
    baselines = max(antennas * (antennas - 1) // 2, 1)
    return CubeSize(
        nx=geometry.nx,
        ny=geometry.ny,
        cell_arcsec=geometry.cell_arcsec,
        cutout_nx=box.shape[0],
        cutout_ny=box.shape[1],
        planes=planes,
        ms_rows=rows,
        ms_visibilities=plane_visibilities(summary, windows, fields),
        ms_windows=len(windows),
        ms_integrations=math.ceil(rows / baselines / max(len(windows), 1)),
        ms_field_rows=max(summary.field_rows, len(summary.fields)),
    )


def plane_visibilities(summary: MeasurementSetSummary, spw_ids: Collection[int], field_count: int) -> int:
    """Rows × channels of spectral windows in some fields; every field is taken to have as many rows."""
    share = field_count / max(len(summary.fields), 1)
    windows = [window for window in summary.spectral_windows if window.id in spw_ids]
    return round(sum(window.rows * window.channels for window in windows) * share)


def _rows(summary: MeasurementSetSummary, spw_ids: Collection[int], field_count: int) -> int:
    share = field_count / max(len(summary.fields), 1)
    return round(sum(window.rows for window in summary.spectral_windows if window.id in spw_ids) * share)
