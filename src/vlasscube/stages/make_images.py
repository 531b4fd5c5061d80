"""Stage 7: image each plane through iter0 … iter3, then look at all planes together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from vlasscube.clean_terms import ImageMask
from vlasscube.images.beams import reject_by_beam
from vlasscube.imaging.clean_sequence import CleanParameters
from vlasscube.imaging.engine import Gridding, OtfBeam
from vlasscube.imaging.engines import imaging_engine
from vlasscube.imaging.plane_imager import image_plane
from vlasscube.options import RunOptions
from vlasscube.recipe import (
    EDIT_IMAGE_LIST_CUBE,
    FLAG_TARGETS_DATA,
    MAKE_IMAGES,
    RESTORE_PIMS,
    TRANSFORM_IMAGE_DATA,
    iteration_step,
)
from vlasscube.records import STOKES, Iteration, Outcome, PlaneImages, PlaneTarget, StepRecord
from vlasscube.results.reading import InputSource
from vlasscube.results.types import (
    LARGEST_NONCOPLANAR_LOSS,
    NOISE_RATIO_BOUNDS,
    CubeImages,
    CubePlan,
    PlaneVerdict,
    is_noise_unexpected,
)
from vlasscube.stages.context import StageContext
from vlasscube.stages.step import Step
from vlasscube.workspace.directory import Workspace
from vlasscube.workspace.record_json import from_plain, to_plain


@dataclass(frozen=True)
class MakeImagesInputs:
    """One plane; masks by name in the working directory."""

    target: PlaneTarget
    working_ms: str
    clean: CleanParameters
    unflagged_bandwidth_hz: float
    engine: str
    gridding: Gridding
    w_correction: bool
    upstream: tuple[str, ...]
    otf_beam: OtfBeam = "field"
    nsigma_per_stokes: bool = False


class _RecordedIterations:
    """Iterations of a plane, kept as records of their own beside the plane's."""

    def __init__(self, context: StageContext) -> None:
        self._context = context

    def load(self) -> tuple[Iteration, ...]:
        workspace: Workspace = self._context.workspace
        records: list[StepRecord] = []
        while True:
            record = workspace.read_record(iteration_step(len(records)).name, self._context.plane)
            if record is None or record.key != self._context.key:
                break
            records.append(record)
        # What an iteration handed on is no longer there; the last one must be whole.
        if records and not all(workspace.is_unchanged(output) for output in records[-1].outputs):
            self._context.warn(
                f"{self._context.plane}: images of an earlier run were altered; imaging starts again"
            )
            records = []
        return tuple(from_plain(Iteration, record.result) for record in records)

    def save(self, iteration: Iteration, paths: tuple[Path, ...]) -> None:
        workspace = self._context.workspace
        workspace.write_record(
            StepRecord(
                stage=iteration_step(iteration.number).name,
                plane=self._context.plane,
                key=self._context.key,
                status="done",
                started="",
                finished="",
                seconds=iteration.seconds,
                inputs=None,
                result=to_plain(iteration),
                outputs=tuple(workspace.file_record(path) for path in paths),
            )
        )
        end = "diverged" if iteration.stop_code.is_divergence else "done"
        self._context.progress(f"iter{iteration.number} {end}")


def make_images_inputs(source: InputSource) -> MakeImagesInputs:
    """Make the inputs of the stage."""
    plan = source.result(EDIT_IMAGE_LIST_CUBE)
    target = plan.target(str(source.plane))
    return MakeImagesInputs(
        # Rules about planes do not change their images: they must not make them stale.
        target=replace(target, fields_above_threshold=0, outcome=None, reason=""),
        working_ms=source.result(TRANSFORM_IMAGE_DATA).working_ms,
        clean=plan.clean,
        unflagged_bandwidth_hz=plan.unflagged_bandwidth_hz[target.label],
        engine=source.options.engine,
        gridding=source.options.gridding,
        w_correction=source.options.w_correction,
        otf_beam=source.options.otf_beam,
        nsigma_per_stokes=source.options.nsigma_per_stokes,
        upstream=source.keys(RESTORE_PIMS, FLAG_TARGETS_DATA),
    )


def make_plane_images(inputs: MakeImagesInputs, context: StageContext) -> PlaneImages:
    """Image a plane, going on after the last finished iteration of an earlier run with the same key."""
    working = context.workspace.working
    masks = tuple(
        ImageMask(str(working / mask.name)) if isinstance(mask, ImageMask) else mask
        for mask in inputs.clean.masks
    )
    images = image_plane(
        inputs.target,
        working / inputs.working_ms,
        working,
        replace(inputs.clean, masks=masks),
        imaging_engine(
            inputs.engine,
            gridding=inputs.gridding,
            w_correction=inputs.w_correction,
            otf_beam=inputs.otf_beam,
            nsigma_per_stokes=inputs.nsigma_per_stokes,
        ),
        _RecordedIterations(context),
        context.report,
    )
    for iteration in images.iterations:
        for name in iteration.files:
            if (working / name).exists():
                context.add_output(working / name)
    _compare_noise(images, context)
    _tell_of_noncoplanar_loss(images, context)
    return replace(images, unflagged_bandwidth_hz=inputs.unflagged_bandwidth_hz)


def _compare_noise(images: PlaneImages, context: StageContext) -> None:
    """Warn if the residual's noise is not what the weights of the data let expect."""
    ratios = {stokes: images.noise_ratio(stokes) for stokes in STOKES}
    unexpected = {
        stokes: ratio
        for stokes, ratio in ratios.items()
        if ratio is not None and is_noise_unexpected(stokes, ratio)
    }
    if not unexpected or images.expected_noise_jy is None:
        return
    found = ", ".join(f"{ratio:.2f} ({stokes})" for stokes, ratio in unexpected.items())
    low, high = NOISE_RATIO_BOUNDS
    context.warn(
        f"{images.target.label}: the noise is {found} times the "
        f"{1e3 * images.expected_noise_jy:.3g} mJy/beam expected from the weights of the data",
        f"{low:g} to {high:g} is usual. Causes of more noise: unflagged interference, calibration errors, "
        "sidelobes of uncleaned sources, or weights that are too large. Causes of less noise: weights that "
        "are too small, for example from residuals with bright sources.",
    )


def _tell_of_noncoplanar_loss(images: PlaneImages, context: StageContext) -> None:
    """Warn if leaving w out costs point sources more than they should lose."""
    effect = images.noncoplanar
    if effect is None or not effect.loss > LARGEST_NONCOPLANAR_LOSS:
        return
    context.warn(
        f"{images.target.label}: point sources are expected to lose {effect.loss:.1%} of their peak "
        f"({1 - effect.worst_peak_fraction:.1%} where it is worst), as the imaging leaves w-terms out",
        "Far from the zenith pointings displace a source by different amounts, which smears it: flux "
        "densities are too low, more so at low frequencies. --profile science images with w-terms.",
    )


@dataclass(frozen=True)
class GatherInputs:
    """All planes: those imaged, and why others are not."""

    plan: CubePlan
    images: Mapping[str, PlaneImages]
    """By label."""
    failures: Mapping[str, str]
    """By label: stage and message."""
    options: RunOptions


def gather_planes(inputs: GatherInputs, context: StageContext) -> CubeImages:
    """Give each requested plane its one outcome, comparing the beams of those imaged."""
    options, targets = inputs.options, inputs.plan.targets
    imaged = [target for target in targets if target.label in inputs.images]
    verdicts = reject_by_beam(
        [inputs.images[target.label].beam for target in imaged],
        [target.reffreq_hz for target in imaged],
        [target.box_flags.fraction for target in imaged],
        beam_deviation=options.reject_beam_deviation,
        flag_fraction=options.reject_beam_flag_fraction,
        excluded=[not options.excluded_spw_ids.isdisjoint(target.spw_ids) for target in imaged],
        apply=options.reject_by_beam,
    )
    by_label = {target.label: verdict for target, verdict in zip(imaged, verdicts, strict=True)}
    planes = []
    for target in targets:
        images = inputs.images.get(target.label)
        verdict = by_label.get(target.label)
        outcome, reason = Outcome.IMAGED, ""
        if target.outcome is not None and not (target.outcome is Outcome.REJECTED and images is None):
            outcome, reason = target.outcome, target.reason
        if images is not None and verdict is not None and not verdict.keep:
            reason = "; ".join(text for text in (reason, verdict.reason) if text)
            outcome = Outcome.REJECTED
        if images is not None and images.diverged is not None:
            reason = "; ".join(text for text in (reason, images.divergence) if text)
            outcome = Outcome.REJECTED
        if target.label in inputs.failures:
            outcome, reason = Outcome.FAILED, inputs.failures[target.label]
        if outcome is Outcome.REJECTED:
            context.warn(f"spw {target.spw} is rejected: {reason}")
        final, attempted = (images.last, images.attempted) if images else (None, ())
        planes.append(
            PlaneVerdict(
                label=target.label,
                spw=target.spw,
                outcome=outcome,
                reason=reason,
                frequency_hz=target.reffreq_hz,
                beam=images.beam if images else None,
                flagged_fraction=target.box_flags.fraction,
                stop=attempted[-1].stop_code.text if attempted else "",
                rms_jy=final.statistics["I"].image_rms if final else None,
                seconds=sum(iteration.seconds for iteration in attempted),
                is_reference=verdict.reference if verdict else False,
            )
        )
    return CubeImages(planes=tuple(planes))


STEP = Step(MAKE_IMAGES, make_images_inputs, make_plane_images)
