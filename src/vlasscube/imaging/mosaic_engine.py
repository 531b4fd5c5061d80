"""vlasscube's imaging engine, in place of tclean: reads the visibilities, cleans, writes CASA images.

What an iteration leaves is kept in memory for the next one of the same plane. After a restart it is read
from the images of the last finished iteration, which hold the same numbers.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vlasscube import casa, naming
from vlasscube.clean_terms import NoMask, PrimaryBeamMask, StopCode
from vlasscube.errors import ImagingError, MemoryLimitError
from vlasscube.images.casa_images import image_facts, read_plane
from vlasscube.images.mosaic_images import ImageHeader, image_header, write_mosaic_image
from vlasscube.imaging.clean_sequence import IterationParameters, tclean_arguments
from vlasscube.imaging.engine import CleanRequest, CleanResult, Gridding, OtfBeam
from vlasscube.imaging.imager_inputs import clean_control, image_frame, image_grid, imager_settings
from vlasscube.measurement_set.visibilities import read_visibilities
from vlasscube.mosaic.clean_loop import CleanOutcome, CleanState, clean
from vlasscube.mosaic.imager import MosaicImager
from vlasscube.mosaic.masks import MaskArray, full_mask, mask_planes, pb_mask, user_mask
from vlasscube.mosaic.memory import further_bytes, padded_pixels
from vlasscube.mosaic.noncoplanar import noncoplanar_effect
from vlasscube.mosaic.primary_beam import beam_radius_rad
from vlasscube.mosaic.restoration import fit_beam, restore
from vlasscube.mosaic.scan_tracks import ScanTrack
from vlasscube.mosaic.visibilities import Visibilities
from vlasscube.processes.machine import available_memory_bytes
from vlasscube.processes.parallel import plane_threads
from vlasscube.records import STOKES, DataSelection, ImageGeometry, Message, NoncoplanarEffect
from vlasscube.sky import arcsec_from_rad, rad_from_arcsec

Float = npt.NDArray[np.float32]

_UNCHANGED: tuple[naming.TcleanProduct, ...] = ("psf", "pb", "weight", "sumwt")
"""Images that all iterations of a plane share."""
_PSF_CUTOFF = 0.5
_WITHOUT_MEANING = frozenset(
    [
        "perchanweightdensity",
        "wprojplanes",
        "facets",
        "aterm",
        "psterm",
        "wbawp",
        "conjbeams",
        "cfcache",
        "usepointing",
        "rotatepastep",
        "computepastep",
        "pointingoffsetsigdev",
        "pbcor",
        "noise",
        "npixels",
        "interactive",
        "fullsummary",
        "restart",
        "savemodel",
        "calcres",
        "calcpsf",
        "parallel",
        "verbose",
        "veltype",
    ]
)
"""Arguments of tclean that have no counterpart here; the others are shown as the call."""


@dataclass(eq=False)
class _Plane:
    """A plane between its iterations."""

    vis: Path
    selection: DataSelection
    root_name: str
    """Root name of the iteration that the images belong to."""
    imager: MosaicImager
    header: ImageHeader
    weight_image: Float
    state: CleanState
    warnings: tuple[Message, ...] = ()
    expected_noise_jy: float | None = None
    noncoplanar: NoncoplanarEffect | None = None


class MosaicEngine:
    """The engine `vlasscube.mosaic`.

    Parameters
    ----------
    gridding, w_correction, otf_beam
        See `vlasscube.mosaic.imager.ImagerSettings`.
    nsigma_per_stokes
        See `vlasscube.mosaic.iteration_control.CleanControl`.
    """

    name = "mosaic"

    def __init__(
        self,
        *,
        gridding: Gridding = "casa",
        w_correction: bool = False,
        otf_beam: OtfBeam = "field",
        nsigma_per_stokes: bool = False,
    ) -> None:
        self._gridding: Gridding = gridding
        self._w_correction = w_correction
        self._otf_beam: OtfBeam = otf_beam
        self._nsigma_per_stokes = nsigma_per_stokes
        self._plane: _Plane | None = None

    def clean(self, request: CleanRequest) -> CleanResult:
        """Make an iteration; see `vlasscube.imaging.engine.ImagingEngine`."""
        call = self._record_call(request)
        # Memory that the next iteration would use anew while the last plane still holds it.
        plane, self._plane = self._plane, None
        threads = plane_threads()
        if request.previous_root is None:
            plane = None
            plane = self._first(request, threads)
        elif plane is None or not _goes_on(plane, request):
            plane = None
            plane = self._read_back(request, threads)
        mask = _clean_mask(request.iteration, plane.state)
        if request.iteration.niter > 0:
            control = clean_control(
                request.parameters, request.iteration, nsigma_per_stokes=self._nsigma_per_stokes
            )

            def measure(model: Float) -> None:
                plane.imager.residual(model, plane.weight_image, plane.state.residual)

            outcome = clean(plane.state, control, mask, measure, threads=threads)
        else:
            outcome = CleanOutcome(0, 1, StopCode.FORCED, {})
        _write(request, plane, mask if request.iteration.niter > 0 else None, threads)
        plane.root_name = request.image_root.name
        self._plane = plane
        return CleanResult(
            call=call,
            iterations_done=outcome.iterations,
            major_cycles=outcome.major_cycles,
            stop_code=outcome.stop_code,
            cycles=outcome.cycles,
            messages=plane.warnings if request.previous_root is None else (),
            expected_noise_jy=plane.expected_noise_jy if request.previous_root is None else None,
            observed_time=plane.imager.observed_time() if request.previous_root is None else None,
            spectral_coverage=plane.imager.spectral_coverage() if request.previous_root is None else None,
            w_planes=plane.imager.w_planes if request.previous_root is None else None,
            noncoplanar=plane.noncoplanar if request.previous_root is None else None,
        )

    def _record_call(self, request: CleanRequest) -> str:
        arguments = tclean_arguments(
            request.vis.name,
            request.selection,
            request.reffreq_hz,
            request.image_root.name,
            request.parameters,
            request.iteration,
        )
        shown = {key: value for key, value in arguments.items() if key not in _WITHOUT_MEANING}
        shown["mask"] = Path(arguments["mask"]).name
        casa.record_equivalent("tclean", **shown)
        own = {
            "gridding": self._gridding,
            "w_correction": self._w_correction,
            "otf_beam": self._otf_beam,
            "nsigma_per_stokes": self._nsigma_per_stokes,
        }
        return casa.format_call("mosaic", shown | own)

    def _imager(
        self, request: CleanRequest, threads: int
    ) -> tuple[MosaicImager, ImageHeader, tuple[Message, ...]]:
        parameters = request.parameters
        visibilities = read_visibilities(
            request.vis, request.selection, frame=image_frame(parameters.geometry)
        )
        _require_memory(
            request.image_root.name, parameters.geometry, visibilities, is_exact=self._gridding == "exact"
        )
        settings = imager_settings(
            parameters,
            threads,
            gridding=self._gridding,
            w_correction=self._w_correction,
            otf_beam=self._otf_beam,
        )
        imager = MosaicImager(image_grid(parameters.geometry), visibilities, settings)
        if not imager.weight_sum > 0:
            raise ImagingError(
                f"{request.image_root.name}: no visibility can be imaged",
                hint="All selected data are flagged, have no weight, or are of pointings outside the image.",
            )
        header = image_header(parameters.geometry, request.reffreq_hz, visibilities)
        return imager, header, tuple(_warnings(request.image_root.name, visibilities, imager))

    def _first(self, request: CleanRequest, threads: int) -> _Plane:
        """Make psf, primary beam and dirty image."""
        imager, header, warnings = self._imager(request, threads)
        shape = imager.grid.shape
        weight_image = imager.weight_image()
        place = imager.psf_place(weight_image)
        if place is not None:
            warnings += (_psf_elsewhere(request, place),)
        psf = imager.psf(place)
        cell = request.parameters.geometry.cell_arcsec
        beam = fit_beam(psf, cell, _PSF_CUTOFF)
        residual = np.empty((len(STOKES), *shape), dtype=np.float32)
        imager.residual(None, weight_image, residual)
        state = CleanState(
            residual=residual,
            model=np.zeros((len(STOKES), *shape), dtype=np.float32),
            psf=psf[None],
            pb=imager.primary_beam(weight_image),
            beams=(beam,),
            cell_arcsec=cell,
        )
        return _Plane(
            vis=request.vis,
            selection=request.selection,
            root_name=request.image_root.name,
            imager=imager,
            header=header,
            weight_image=weight_image,
            state=state,
            warnings=warnings,
            expected_noise_jy=imager.expected_noise_jy(),
            noncoplanar=noncoplanar_effect(*imager.source_displacements(), beam),
        )

    def _read_back(self, request: CleanRequest, threads: int) -> _Plane:
        """Take a plane up again from the images of the previous iteration."""
        previous = request.previous_root
        assert previous is not None
        imager, header, _ = self._imager(request, threads)

        def path(kind: naming.TcleanProduct) -> Path:
            return previous.parent / naming.tclean_product(previous.name, kind)

        def planes(kind: naming.TcleanProduct) -> Float:
            images = np.empty((len(STOKES), *imager.grid.shape), dtype=np.float32)
            for index in range(len(STOKES)):
                images[index] = np.nan_to_num(read_plane(path(kind), index), copy=False)
            return images

        beam = image_facts(path("psf")).beam
        if beam is None:
            raise ImagingError(f"{path('psf').name} has no beam", hint="Remove it to make the plane again.")
        state = CleanState(
            residual=planes("residual"),
            model=planes("model"),
            psf=read_plane(path("psf"))[None],
            pb=np.nan_to_num(read_plane(path("pb"))),
            beams=(beam,),
            cell_arcsec=request.parameters.geometry.cell_arcsec,
        )
        weight_image = read_plane(path("weight"))
        return _Plane(request.vis, request.selection, previous.name, imager, header, weight_image, state)


def _require_memory(
    name: str, geometry: ImageGeometry, visibilities: Visibilities, *, is_exact: bool
) -> None:
    padded = None
    if is_exact and visibilities.count:
        lowest_hz = min(float(window.channel_frequency_hz.min()) for window in visibilities.spectral_windows)
        cell_rad = rad_from_arcsec(geometry.cell_arcsec)
        padded = padded_pixels(geometry.nx, geometry.ny, cell_rad, beam_radius_rad(lowest_hz))
    needed = further_bytes(geometry.nx * geometry.ny, visibilities, padded)
    available = available_memory_bytes()
    if needed > available:
        raise MemoryLimitError(
            f"{name}: {geometry.nx}x{geometry.ny} pixels and "
            f"{visibilities.count / 1e6:.3g} million visibilities need {needed / 1e9:.1f} GB of memory, "
            f"{available / 1e9:.1f} GB are free",
            hint="Image fewer planes at once (--workers) or smaller ones, or use a machine with more memory.",
        )


def _warnings(name: str, visibilities: Visibilities, imager: MosaicImager) -> Iterator[Message]:
    if visibilities.non_finite:
        yield Message(
            "warning",
            f"{name}: {visibilities.non_finite} visibilities are not finite and not flagged: left out",
        )
    if visibilities.bad_weights:
        yield Message(
            "warning",
            f"{name}: {visibilities.bad_weights} weights are negative or not finite: their data are left out",
        )
    if imager.outside:
        yield Message(
            "warning",
            f"{name}: {imager.outside} visibilities of long baselines are left out: the pixels are too large",
        )
    if imager.settings.otf_beam == "smeared":
        yield Message("info", f"{name}: {_tracks_text(imager.tracks)}")


def _tracks_text(tracks: Sequence[ScanTrack]) -> str:
    """Say how far the antennas moved during a field."""
    if not tracks:
        return "the fields are not those of on-the-fly rows: the beam is that at their phase centres"
    each = ", ".join(
        f"{arcsec_from_rad(track.length_rad) / 60:.2f} arcmin at position angle "
        f"{track.position_angle_deg:.0f} deg ({np.count_nonzero(track.pointings)} fields)"
        for track in tracks
    )
    return f"beam averaged over the way of the antennas during a field: {each}"


def _psf_elsewhere(request: CleanRequest, place: tuple[int, int]) -> Message:
    geometry = request.parameters.geometry
    offset = math.dist(place, (geometry.nx // 2, geometry.ny // 2)) * geometry.cell_arcsec / 60
    return Message(
        "warning",
        f"{request.image_root.name}: the pointings do not cover the image centre: point spread function and "
        f"beam are those of the nearest well-covered place, {offset:.1f} arcmin away, at pixel "
        f"({place[0]}, {place[1]})",
        "Compare phasecenter in the parameter list with the fields of the measurement set.",
    )


def _goes_on(plane: _Plane, request: CleanRequest) -> bool:
    previous = request.previous_root
    return (
        previous is not None
        and plane.root_name == previous.name
        and plane.vis == request.vis
        and plane.selection == request.selection
    )


def _clean_mask(iteration: IterationParameters, state: CleanState) -> MaskArray:
    shape, mask = state.pb.shape, iteration.mask
    if isinstance(mask, NoMask):
        return full_mask((shape[0], shape[1]))
    if isinstance(mask, PrimaryBeamMask):
        return pb_mask(state.pb, iteration.pbmask)
    path = Path(mask.name)
    count = len(image_facts(path).stokes)
    if count == 1:
        return user_mask(read_plane(path))
    return user_mask(np.stack([read_plane(path, index) for index in range(count)]))


def _write(request: CleanRequest, plane: _Plane, mask: MaskArray | None, threads: int) -> None:
    """Write the images of an iteration, linking those that stay the same."""
    root, state, header = request.image_root, plane.state, plane.header
    count = len(STOKES)

    def path(kind: naming.TcleanProduct) -> Path:
        return root.parent / naming.tclean_product(root.name, kind)

    good = state.pb > 0
    if request.previous_root is None:
        beams = state.beams * count
        sumwt = np.full((1, 1), plane.imager.weight_sum, dtype=np.float32)
        write_mosaic_image(path("psf"), "psf", header, [state.psf[0]] * count, beams=beams)
        write_mosaic_image(path("pb"), "pb", header, [state.pb] * count, mask=good)
        write_mosaic_image(path("weight"), "weight", header, [plane.weight_image] * count)
        write_mosaic_image(path("sumwt"), "sumwt", header, [sumwt] * count)
    else:
        for kind in _UNCHANGED:
            source = request.previous_root.parent / naming.tclean_product(request.previous_root.name, kind)
            # CASA's tables are never changed in place here, so two names may share them.
            shutil.copytree(source, path(kind), copy_function=_link)
    write_mosaic_image(path("residual"), "residual", header, state.residual, mask=good)
    write_mosaic_image(path("model"), "model", header, state.model)
    if mask is not None:
        write_mosaic_image(path("mask"), "mask", header, mask_planes(mask, count))
    if request.iteration.restoration:
        beam = state.beams[0]
        restored = (
            restore(model, residual, beam, state.cell_arcsec, threads)
            for model, residual in zip(state.model, state.residual, strict=True)
        )
        write_mosaic_image(path("image"), "image", header, restored, beams=(beam,))


def _link(source: Any, target: Any) -> None:
    try:
        os.link(source, target)
    except OSError:
        # A file system without hard links.
        shutil.copy2(source, target)
