"""CASA's tclean as an imaging engine."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from vlasscube import casa, naming
from vlasscube.clean_terms import StopCode
from vlasscube.errors import ImagingError
from vlasscube.images.casa_images import image_facts
from vlasscube.imaging.clean_sequence import tclean_arguments
from vlasscube.imaging.engine import TAKEN_OVER, CleanRequest, CleanResult
from vlasscube.imaging.imager_inputs import image_frame, image_grid, imager_settings
from vlasscube.measurement_set.visibilities import read_visibilities
from vlasscube.mosaic.imager import MosaicImager
from vlasscube.mosaic.noncoplanar import noncoplanar_effect
from vlasscube.processes.parallel import plane_threads
from vlasscube.records import STOKES, CleanCycles


class TcleanEngine:
    """The reference engine: ``tclean(gridder='mosaic', deconvolver='mtmfs', nterms=1, stokes='IQUV')``."""

    name = "casa"

    def clean(self, request: CleanRequest) -> CleanResult:
        """Make an iteration; see `vlasscube.imaging.engine.ImagingEngine`."""
        if request.previous_root is not None:
            take_over(request.previous_root, request.image_root)
        arguments = tclean_arguments(
            str(request.vis),
            request.selection,
            request.reffreq_hz,
            str(request.image_root),
            request.parameters,
            request.iteration,
        )
        # Before the long work, so that what cannot be read is told at once.
        imager = _equivalent_imager(request) if request.previous_root is None else None
        expected = imager.expected_noise_jy() if imager is not None else None
        observed = imager.observed_time() if imager is not None else None
        coverage = imager.spectral_coverage() if imager is not None else None
        w_planes = 0 if imager is not None else None
        displaced = imager.source_displacements() if imager is not None else None
        del imager
        result = casa.run_task("tclean", **arguments)
        shown = {
            **arguments,
            "vis": [request.vis.name],
            "imagename": request.image_root.name,
            "mask": Path(arguments["mask"]).name,
        }
        made = clean_result(result, casa.format_call("tclean", shown))
        psf = request.image_root.parent / naming.tclean_product(request.image_root.name, "psf")
        beam = image_facts(psf).beam if displaced is not None and psf.exists() else None
        noncoplanar = noncoplanar_effect(*displaced, beam) if displaced is not None and beam else None
        return replace(
            made,
            expected_noise_jy=expected,
            spectral_coverage=coverage,
            w_planes=w_planes,
            observed_time=observed,
            noncoplanar=noncoplanar,
        )


def _equivalent_imager(request: CleanRequest) -> MosaicImager:
    """Weight the same data as tclean does, which tells neither its weights nor the noise they let expect."""
    visibilities = read_visibilities(
        request.vis, request.selection, frame=image_frame(request.parameters.geometry)
    )
    settings = imager_settings(request.parameters, plane_threads())
    imager = MosaicImager(image_grid(request.parameters.geometry), visibilities, settings)
    if imager.psf_place(imager.weight_image()) is not None:
        # Its psfphasecenter, which would help, does not go with deconvolver='mtmfs'.
        raise ImagingError(
            f"{request.image_root.name}: the pointings do not cover the image centre, where tclean takes the "
            "point spread function",
            hint="Use --engine mosaic, which takes it at the nearest well-covered place.",
        )
    return imager


def take_over(previous: Path, root: Path) -> None:
    """Copy the images of the previous iteration to the names of the next one.

    tclean goes on with the images that lie under its own name, and changes them.
    """
    for kind in TAKEN_OVER:
        source = previous.parent / naming.tclean_product(previous.name, kind)
        if source.exists():
            shutil.copytree(source, root.parent / naming.tclean_product(root.name, kind))


def clean_result(result: dict[str, Any], call: str) -> CleanResult:
    """Translate tclean's return record."""
    summary = result.get("summaryminor") or {}
    by_stokes = summary.get(0, {}).get(0, {})
    cycles = {
        STOKES[index]: CleanCycles(
            iterations=_cumulative(plane["iterDone"]),
            peak_residual_jy=_floats(plane["peakRes"]),
            model_flux_jy=_floats(plane["modelFlux"]),
            start_peak_residual_jy=_floats(plane.get("startPeakRes", [])),
        )
        for index, plane in sorted(by_stokes.items())
    }
    return CleanResult(
        call=call,
        iterations_done=int(result.get("iterdone", 0)),
        major_cycles=int(result.get("nmajordone", 0)),
        stop_code=StopCode(int(result.get("stopcode", 0))),
        cycles=cycles,
    )


def _cumulative(counts: Any) -> tuple[int, ...]:
    total, sums = 0, []
    for count in counts:
        total += int(count)
        sums.append(total)
    return tuple(sums)


def _floats(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
