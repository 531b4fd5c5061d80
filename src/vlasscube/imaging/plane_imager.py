"""One plane through iter0 … iter3: masks, hand-over of images, statistics, and resuming after an interrupt.

Each iteration is made in a directory of its own and moved into place when it is whole. What the next
iteration takes over (psf, pb, weight, sumwt, model) is removed from the previous one only after the next one
is recorded, so that a stop at any moment costs no more than the iteration under way.

The images of an iteration that diverges are dropped: the plane ends with those of the last one that did not.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from vlasscube import naming
from vlasscube.clean_terms import CleanMask, ImageMask, StopCode
from vlasscube.errors import ImagingError
from vlasscube.images.casa_images import image_facts, read_plane, set_missing_beams
from vlasscube.images.statistics import plane_statistics
from vlasscube.imaging.clean_sequence import CleanParameters, IterationParameters, iteration_sequence
from vlasscube.imaging.engine import CleanRequest, CleanResult, ImagingEngine
from vlasscube.imaging.masks import make_cleanmask
from vlasscube.records import (
    STOKES,
    ImageGeometry,
    Iteration,
    IterationStatistics,
    Message,
    PixelBox,
    PlaneImages,
    PlaneTarget,
)
from vlasscube.workspace.files import publish_all, remove

HANDED_ON: tuple[naming.TcleanProduct, ...] = ("psf", "pb", "weight", "sumwt", "model")
"""Images that move from one iteration to the next."""

Report = Callable[[Message], None]


class IterationStore(Protocol):
    """Keeps the records of finished iterations."""

    def load(self) -> tuple[Iteration, ...]:
        """Finished iterations 0, 1, … whose images are all still there as recorded."""
        ...

    def save(self, iteration: Iteration, paths: tuple[Path, ...]) -> None:
        """Record a finished iteration and its images; for one that diverged, those that are kept instead."""
        ...


def image_plane(
    target: PlaneTarget,
    vis: Path,
    directory: Path,
    parameters: CleanParameters,
    engine: ImagingEngine,
    store: IterationStore,
    report: Report,
) -> PlaneImages:
    """Image a plane, resuming after the last finished iteration.

    Parameters
    ----------
    target : PlaneTarget
        What to image.
    vis : Path
        Imaging-ready measurement set.
    directory : Path
        Where the images are kept.
    parameters : CleanParameters
        Clean parameters, common to all planes.
    engine : ImagingEngine
        Makes the images.
    store : IterationStore
        Records of finished iterations.
    report : callable
        Called with messages for the user.

    Returns
    -------
    PlaneImages
        With the unflagged bandwidth left at the nominal one. If the clean diverges, it ends with the last
        iteration that did not; if that is iter0, the dirty image takes the place of the restored one.

    Raises
    ------
    ImagingError
        If the psf has no beam.
    """

    def make(settings: IterationParameters) -> tuple[Iteration, tuple[Path, ...]]:
        is_last = settings.number == sequence[-1].number
        return _make_iteration(
            target, vis, directory, parameters, settings, engine, report, keep_mask=is_last
        )

    sequence = iteration_sequence(parameters)
    finished = list(store.load())
    diverged = finished.pop() if finished and finished[-1].stop_code.is_divergence else None
    for iteration in finished[:-1]:
        _drop_handed_on(directory, target.image_root, iteration.number)
    for settings in sequence[len(finished) :] if diverged is None else ():
        iteration, paths = make(settings)
        if iteration.stop_code.is_divergence:
            diverged = iteration
            last = finished[-1]
            root = naming.iteration_root(target.image_root, last.number)
            if naming.tclean_product(root, "image") not in last.files:
                finished[-1], paths = make(replace(sequence[last.number], restoration=True))
                store.save(finished[-1], paths)
            store.save(diverged, tuple(directory / name for name in finished[-1].files))
            break
        store.save(iteration, paths)
        finished.append(iteration)
        if not settings.is_first:
            _drop_handed_on(directory, target.image_root, settings.number - 1)
    last_root = naming.iteration_root(target.image_root, finished[-1].number)
    facts = image_facts(directory / naming.tclean_product(last_root, "psf"))
    if facts.beam is None:
        raise ImagingError(f"{target.label}: the psf has no beam", hint="The psf fit failed; see CASA's log.")
    images = PlaneImages(
        target=target,
        engine=engine.name,
        iterations=tuple(finished),
        beam=facts.beam,
        frequency_hz=facts.frequency_hz,
        bandwidth_hz=facts.channel_width_hz,
        unflagged_bandwidth_hz=target.nominal_bandwidth_hz,
        expected_noise_jy=finished[0].expected_noise_jy,
        diverged=diverged,
        observed_time=finished[0].observed_time,
        spectral_coverage=finished[0].spectral_coverage,
        w_planes=finished[0].w_planes,
        noncoplanar=finished[0].noncoplanar,
    )
    if diverged is not None:
        for settings in sequence[diverged.number :]:
            _remove_images(directory, naming.iteration_root(target.image_root, settings.number))
        report(
            Message(
                "warning",
                f"{target.label}: {images.divergence}, and the plane is rejected",
                "A smaller cycleniter or a larger cyclefactor in CCIP_parameter.list makes the clean more "
                "careful.",
            )
        )
    return images


def _make_iteration(
    target: PlaneTarget,
    vis: Path,
    directory: Path,
    parameters: CleanParameters,
    settings: IterationParameters,
    engine: ImagingEngine,
    report: Report,
    *,
    keep_mask: bool,
) -> tuple[Iteration, tuple[Path, ...]]:
    started = time.monotonic()
    root = naming.iteration_root(target.image_root, settings.number)
    partial = directory / f".{root}.partial"
    remove(partial)
    partial.mkdir(parents=True)
    recorded_mask = settings.mask
    previous = None
    if not settings.is_first:
        previous = directory / naming.iteration_root(target.image_root, settings.number - 1)
        if isinstance(settings.mask, ImageMask):
            # Not '<imagename>.mask': tclean refuses usemask='user' when that exists.
            cleanmask = partial / naming.tclean_product(root, "cleanmask")
            template = directory / naming.tclean_product(previous.name, "pb")
            for message in make_cleanmask(Path(settings.mask.name), template, cleanmask):
                report(message)
            settings = replace(settings, mask=ImageMask(str(cleanmask)))
            recorded_mask = ImageMask(cleanmask.name)
    result = engine.clean(
        CleanRequest(vis, target.selection, target.reffreq_hz, partial / root, previous, parameters, settings)
    )
    for message in result.messages:
        report(message)
    if result.stop_code.is_divergence:
        remove(partial)
        return _iteration(settings, recorded_mask, result, {}, time.monotonic() - started, ()), ()
    _warn_of_early_stop(target, settings, result, report)
    psf = partial / naming.tclean_product(root, "psf")
    image = partial / naming.tclean_product(root, "image")
    set_missing_beams(psf, (image, partial / naming.tclean_product(root, "residual")))
    if not keep_mask:
        remove(partial / naming.tclean_product(root, "mask"))
    statistics = {
        stokes: _statistics(partial, root, index, parameters.geometry) for index, stokes in enumerate(STOKES)
    }
    _remove_images(directory, root)
    names = sorted(path.name for path in partial.iterdir() if path.name.startswith(root))
    publish_all((partial / name, directory / name) for name in names)
    remove(partial)
    seconds = time.monotonic() - started
    iteration = _iteration(settings, recorded_mask, result, statistics, seconds, tuple(names))
    return iteration, tuple(directory / name for name in names)


def _remove_images(directory: Path, root: str) -> None:
    """Remove images of an earlier attempt at an iteration; what somebody else has put beside them stays."""
    made = re.compile(rf"{re.escape(root)}\.{naming.IMAGE_ENDING}")
    for stale in [path for path in directory.iterdir() if made.fullmatch(path.name)]:
        remove(stale)


def _iteration(
    settings: IterationParameters,
    mask: CleanMask,
    result: CleanResult,
    statistics: Mapping[str, IterationStatistics],
    seconds: float,
    files: tuple[str, ...],
) -> Iteration:
    return Iteration(
        number=settings.number,
        mask=mask,
        nsigma=settings.nsigma,
        iterations_done=result.iterations_done,
        major_cycles=result.major_cycles,
        stop_code=result.stop_code,
        cycles=result.cycles,
        statistics=statistics,
        call=result.call,
        seconds=seconds,
        files=files,
        expected_noise_jy=result.expected_noise_jy,
        observed_time=result.observed_time,
        spectral_coverage=result.spectral_coverage,
        w_planes=result.w_planes,
        noncoplanar=result.noncoplanar,
    )


def _drop_handed_on(directory: Path, image_root: str, number: int) -> None:
    root = naming.iteration_root(image_root, number)
    for kind in HANDED_ON:
        remove(directory / naming.tclean_product(root, kind))


def _warn_of_early_stop(
    target: PlaneTarget, settings: IterationParameters, result: CleanResult, report: Report
) -> None:
    code = result.stop_code
    if code.is_limit or (code is StopCode.NOT_REACHED and result.iterations_done > 0):
        place = f"{target.label} iter{settings.number}"
        report(Message("warning", f"{place}: clean stopped early: {code.text}"))


def _statistics(directory: Path, root: str, stokes: int, geometry: ImageGeometry) -> IterationStatistics:
    def plane(kind: naming.TcleanProduct) -> Path:
        return directory / naming.tclean_product(root, kind)

    # tclean leaves pixels beyond the primary-beam limit unmasked and all but zero (CAS-13818).
    inside = np.isfinite(read_plane(plane("pb"), stokes))
    residual = plane_statistics(read_plane(plane("residual"), stokes), inside)
    has_image = plane("image").exists()
    image = plane_statistics(read_plane(plane("image"), stokes), inside) if has_image else None
    positive = negative = inner = 0.0
    if plane("model").exists():
        model = np.nan_to_num(read_plane(plane("model"), stokes))
        positive = float(model[model > 0].sum(dtype=np.float64))
        negative = float(model[model < 0].sum(dtype=np.float64))
        box = inner_square_degree(geometry)
        inner = float(model[box.blc_y : box.trc_y + 1, box.blc_x : box.trc_x + 1].sum(dtype=np.float64))
    return IterationStatistics(
        residual_peak=residual.peak,
        residual_madrms=residual.madrms,
        image_max=image.max if image else None,
        image_min=image.min if image else None,
        image_rms=image.madrms if image else None,
        model_flux_positive=positive,
        model_flux_negative=negative,
        model_flux_inner=inner,
    )


def inner_square_degree(geometry: ImageGeometry) -> PixelBox:
    """Pixels of the central square degree."""
    half = round(1800.0 / geometry.cell_arcsec)
    return PixelBox(
        max(geometry.nx // 2 - half, 0),
        max(geometry.ny // 2 - half, 0),
        min(geometry.nx // 2 + half, geometry.nx) - 1,
        min(geometry.ny // 2 + half, geometry.ny) - 1,
    )
