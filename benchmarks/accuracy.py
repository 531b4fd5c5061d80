"""Cubes of simulated fields against their truth: ``python benchmarks/accuracy.py DIR [CASE…]``.

Each case is a field, imaged under one or both profiles; what is there already is not made again. Prints the
tables of docs/accuracy.md, and ends with status 1 if a requirement is not met.
"""

import math
import shutil
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from vlasscube import Workspace, casa, run_workflow
from vlasscube.imaging.imager_inputs import image_frame, image_grid, imager_settings
from vlasscube.measurement_set.visibilities import read_visibilities
from vlasscube.mosaic.imager import MosaicImager
from vlasscube.mosaic.noncoplanar import smeared_peaks
from vlasscube.options import RunOptions
from vlasscube.recipe import EDIT_IMAGE_LIST_CUBE, MAKE_IMAGES, TRANSFORM_IMAGE_DATA
from vlasscube.records import Beam
from vlasscube.results.reading import read_result
from vlasscube.simulation import simulate
from vlasscube.simulation.comparison import Assessment, SourceMeasurement, assess, compare_run
from vlasscube.simulation.parameters import FieldSimulation
from vlasscube.simulation.presets import preset
from vlasscube.sky import image_wcs, parse_phasecenter

FloatArray = npt.NDArray[np.float64]

VARIANTS = {
    "archive": RunOptions(profile="archive"),
    "science": RunOptions(profile="science"),
    "without w": RunOptions(profile="science", w_correction=False),
}
"""The last shows what w alone costs."""
BOTH = ("archive", "science")
_BOTH_ENDS = {
    "science_spws": (2, 17),
    "channels": 16,
    "imsize": (3200, 3200),
    "cell_arcsec": 0.8,
    "separation_arcmin": 1.2,
    "flux_range_jy": (0.08, 0.5),
    "beam_at": "otf",
}
"""Of the tilted presets: the ends of the band for a spectral index, with pixels that sample the smallest beam
in an image as wide as the largest primary beam, which tclean's gridding needs."""


@dataclass(frozen=True)
class Case:
    """A simulated field, how to image it, and what it is about."""

    field: FieldSimulation
    variants: tuple[str, ...]
    about: str
    bounds: Literal["science", "survey", ""] = "science"
    """Which it has to keep: those of the science profile, those of `assess` in any variant, or none."""


CASES = {
    "demo": Case(
        preset("demo", flagged_spws=(), continuum_model="clean", continuum_predict="tclean"),
        ("archive",),
        "all 16 planes, D configuration, z = 6°, model by the CASA calls of production",
        bounds="survey",
    ),
    **{
        name: Case(preset(name, **_BOTH_ENDS), variants, about)
        for name, variants, about in (
            ("z30", BOTH, "z = 30°"),
            ("z50", tuple(VARIANTS), "z = 50°"),
            ("z65", BOTH, "z = 65°"),
            ("z74", tuple(VARIANTS), "z = 74°"),
            ("pole", BOTH, "declination 88°, z = 55°"),
        )
    },
    "otf": Case(preset("otf"), BOTH, "antennas moving during each integration"),
    "sidelobes": Case(preset("sidelobes"), BOTH, "bright sources outside the image and in a sidelobe"),
    "real": Case(preset("real"), BOTH, "what real data have, together, at z = 50°", bounds=""),
}


def show(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


def make_run(directory: Path, name: str, case: Case, variant: str) -> Workspace:
    """Simulate the field and make its cube, or what of them is missing."""
    field = directory / name
    if not (field / "truth").is_dir():
        show(f"{name}: simulating")
        directory.mkdir(parents=True, exist_ok=True)
        casa.configure(directory / f"{name}-simulation.log")
        simulate(field, case.field, seed=1, progress=lambda text, fraction: None)
    run = directory / f"{name}-{variant.replace(' ', '-')}"
    if not run.is_dir():
        shutil.copytree(field, run)
    show(f"{name}: imaging, {variant}")
    workspace = Workspace(run)
    run_workflow(workspace, VARIANTS[variant])
    return workspace


def judged(measurements: Sequence[SourceMeasurement], snr: float) -> list[SourceMeasurement]:
    """Points inside half the primary-beam response."""
    points = [m for m in measurements if m.source.kind == "field" and m.source.is_point]
    return [m for m in points if m.snr > snr and m.pb > 0.5]


def by_plane(measurements: Sequence[SourceMeasurement]) -> dict[str, list[SourceMeasurement]]:
    """Measurements by the label of their plane, in the order of frequency."""
    planes = defaultdict(list)
    for m in sorted(measurements, key=lambda m: m.frequency_hz):
        planes[m.label].append(m)
    return planes


@dataclass(frozen=True)
class SpectralErrors:
    """Errors of the spectral indices of sources above 50σ in all windows."""

    mean: float
    scatter: float

    @classmethod
    def of(cls, measurements: Sequence[SourceMeasurement]) -> "SpectralErrors | None":
        """Fit log I/true against log ν; None with fewer than two windows."""
        sources = defaultdict(list)
        for m in measurements:
            sources[m.source.name].append(m)
        planes = len(by_plane(measurements))
        errors = [
            np.polyfit(np.log([m.frequency_hz for m in own]), np.log([m.ratio for m in own]), 1)[0]
            for own in sources.values()
            if len(own) == planes > 1
        ]
        return cls(float(np.mean(errors)), float(np.std(errors))) if errors else None


def rows(name: str, case: Case, variant: str, workspace: Workspace) -> tuple[list[str], list[str]]:
    """Lines of the table, and what is not as required."""
    measurements = compare_run(workspace)
    bright = judged(measurements, 50)
    alpha = SpectralErrors.of(bright)
    lines, misses = [], []
    for label, own in by_plane(bright).items():
        effect = read_result(workspace, MAKE_IMAGES, label).noncoplanar
        ratios = np.array([m.ratio for m in own])
        excess = [np.hypot(*m.offset_pixels) - 3 * m.position_noise_pixels for m in own]
        east, north = np.mean([m.offset_pixels for m in own], axis=0)
        predicted = effect.peak_fraction if effect else 1.0
        lines.append(
            f"| {name} | {variant} | {label} | {len(own)} | {ratios.mean():.4f} ± {ratios.std():.4f} "
            f"| {predicted:.3f} | {east:+.3f}, {north:+.3f} | {1e3 * np.median([m.rms[0] for m in own]):.2f} "
            f"| {1e3 * np.median([m.rms[1] for m in own]):.2f} "
            f"| {'' if alpha is None else f'{alpha.mean:+.4f} ± {alpha.scatter:.4f}'} |"
        )
        if case.bounds == "science" and variant == "science":
            place = f"{name} {variant} {label}"
            if abs(ratios.mean() - 1) > 0.005 or ratios.std() > 0.01:
                misses.append(f"{place}: I/true is {ratios.mean():.4f} ± {ratios.std():.4f}")
            if max(excess) > 0.05:
                misses.append(f"{place}: a position is off by {max(excess):.3f} pixels beyond the noise")
    if case.bounds == "science" and variant == "science" and alpha is not None and abs(alpha.mean) > 0.01:
        misses.append(f"{name}: spectral indices are off by {alpha.mean:+.4f} on average")
    for source, true, fit in assess(measurements).rotation_measures:
        lines.append(
            f"| {name} | {variant} | RM of {source} | | {fit.rm:.2f} ± {fit.rm_error:.2f}, true {true:.2f} "
            "| | | | | |"
        )
        if abs(fit.rm - true) > 3 * fit.rm_error:
            misses.append(f"{name} {variant} {source}: RM {fit.rm:.2f} ± {fit.rm_error:.2f}, true {true:.2f}")
    return lines, misses


def plane_table(measurements: Sequence[SourceMeasurement]) -> str:
    """One line per plane."""
    planes = defaultdict(list)
    for m in measurements:
        if m.snr > 20 and m.pb > 0.5:
            planes[m.frequency_hz].append(m)
    lines = [
        "| plane | GHz | sources | I/true mean | I/true min | I/true max | max ΔQ/I % | max ΔU/I % "
        "| max ΔV/σ | max offset px |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for frequency, own in sorted(planes.items()):
        ratio = [m.ratio for m in own]
        q, u = (max(abs(m.measured[s] - m.true[s]) / m.true[0] for m in own) * 100 for s in (1, 2))
        v = max(abs(m.measured[3] - m.true[3]) / m.rms[3] for m in own)
        offset = max(np.hypot(*m.offset_pixels) for m in own)
        lines.append(
            f"| {own[0].label} | {frequency / 1e9:.3f} | {len(own)} | {np.mean(ratio):.4f} "
            f"| {min(ratio):.4f} | {max(ratio):.4f} | {q:.2f} | {u:.2f} | {v:.1f} | {offset:.3f} |"
        )
    return "\n".join(lines)


def report(result: Assessment) -> str:
    """The summary below the table."""
    lines = [
        f"{result.source_count} measurements above 20σ inside half the primary beam",
        f"I/true = {result.mean_i_ratio:.4f} ± {result.scatter_i_ratio:.4f}",
        "no polarised source" if result.mean_p_ratio is None else f"P/true = {result.mean_p_ratio:.4f}",
        *(
            f"RM of {name}: {true:.2f}, measured {fit.rm:.2f} ± {fit.rm_error:.2f} rad/m2, {fit.snr:.0f}σ"
            for name, true, fit in result.rotation_measures
        ),
        *(f"left out by the masks: {note}" for note in result.notes),
    ]
    return "\n".join(lines)


def losses(name: str, without_w: Workspace, science: Workspace) -> tuple[list[str], list[str]]:
    """What w takes from sources, beside what is expected at their places; and what is not as required.

    The expectation has to be right within a third where 1 % is lost, on average.
    """
    corrected = {(m.label, m.source.name): m.ratio for m in judged(compare_run(science), 50)}
    lines, misses = [], []
    for label, own in by_plane(judged(compare_run(without_w), 50)).items():
        both = [m for m in own if (label, m.source.name) in corrected]
        measured = np.array([1 - m.ratio / corrected[label, m.source.name] for m in both])
        expected = 1 - expected_fits(without_w, label, both)
        lines.append(
            f"| {name} | {label} | {len(both)} | {100 * measured.mean():.2f} | {100 * expected.mean():.2f} "
            f"| {100 * measured.max():.1f} | {100 * expected[measured.argmax()]:.1f} |"
        )
        if measured.mean() > 0.01 and abs(expected.mean() / measured.mean() - 1) > 1 / 3:
            misses.append(f"{name} {label}: the loss by w is not as expected")
    return lines, misses


def expected_fits(workspace: Workspace, label: str, measurements: Sequence[SourceMeasurement]) -> FloatArray:
    """What is left of the fits of sources without w, expected as the record expects peaks.

    The overlap of two Gaussians at a distance falls as a Gaussian √2 times as wide: where a peak loses 2 %,
    the fit of a beam's shape loses 1 %.
    """
    plan = read_result(workspace, EDIT_IMAGE_LIST_CUBE)
    geometry = plan.clean.geometry
    ms = workspace.working / read_result(workspace, TRANSFORM_IMAGE_DATA).working_ms
    visibilities = read_visibilities(ms, plan.target(label).selection, frame=image_frame(geometry))
    imager = MosaicImager(image_grid(geometry), visibilities, imager_settings(plan.clean, 2))
    ra, dec, _ = parse_phasecenter(geometry.phasecenter)
    wcs = image_wcs(ra, dec, geometry.cell_arcsec, (geometry.nx // 2, geometry.ny // 2))
    places = wcs.wcs_world2pix([[m.source.ra_deg, m.source.dec_deg] for m in measurements], 0)
    beam = read_result(workspace, MAKE_IMAGES, label).beam
    overlap = Beam(math.sqrt(2) * beam.bmaj_arcsec, math.sqrt(2) * beam.bmin_arcsec, beam.bpa_deg)
    fraction, _ = smeared_peaks(*imager.source_displacements(places), overlap)
    return fraction


HEADING = (
    "| case | profile | plane | sources | I/true | predicted peak | offset px | noise I | noise Q mJy "
    "| error of α |\n|---|---|---|---|---|---|---|---|---|---|"
)


LOSS_HEADING = (
    "| case | plane | sources | mean loss by w, % | expected | largest, % | expected there |\n"
    "|---|---|---|---|---|---|---|"
)


def main(directory: Path, names: Sequence[str]) -> int:
    print(HEADING, flush=True)
    misses, of_w, details = [], [], []
    for name in names or CASES:
        case = CASES[name]
        runs = {variant: make_run(directory, name, case, variant) for variant in case.variants}
        for variant, run in runs.items():
            lines, own = rows(name, case, variant, run)
            print("\n".join(lines), flush=True)
            misses += own
        if case.bounds == "survey":
            for run in runs.values():
                measurements = compare_run(run)
                result = assess(measurements)
                details += [plane_table(measurements), report(result)]
                misses += result.misses
        if "without w" in runs:
            lines, own = losses(name, runs["without w"], runs["science"])
            of_w += lines
            misses += own
    print("", LOSS_HEADING, *of_w, "", *details, "", *(f"MISSED: {miss}" for miss in misses), sep="\n")
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).absolute(), sys.argv[2:]))
