"""Cubes of simulated fields against their truth: ``python benchmarks/accuracy.py DIR [CASE…]``.

Each case is a field, imaged under one or both profiles; what is there already is not made again. Prints the
tables of docs/accuracy.md, and ends with status 1 if a requirement is not met.
"""

import shutil
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vlasscube import Workspace, casa, run_workflow
from vlasscube.options import Profile, RunOptions
from vlasscube.recipe import MAKE_IMAGES
from vlasscube.results.reading import read_result
from vlasscube.simulation import simulate
from vlasscube.simulation.comparison import SourceMeasurement, assess, compare_run
from vlasscube.simulation.parameters import FieldSimulation
from vlasscube.simulation.presets import preset

BOTH: tuple[Profile, ...] = ("archive", "science")
_THREE_WINDOWS = {
    "science_spws": (2, 9, 17),
    "channels": 16,
    "imsize": (1800, 1800),
    "cell_arcsec": 0.8,
    "separation_arcmin": 1.2,
    "flux_range_jy": (0.08, 0.5),
    "beam_at": "otf",
}
"""Of the tilted presets: windows along the band for a spectral index, with pixels that sample the smallest
beam."""


@dataclass(frozen=True)
class Case:
    """A simulated field, the profiles to image it with, and what it is about."""

    field: FieldSimulation
    profiles: tuple[Profile, ...]
    about: str
    judged: bool = True
    """Whether the bounds of the science profile are for it; otherwise its figures are only shown."""


CASES = {
    "demo": Case(
        preset("demo", flagged_spws=(), continuum_model="clean", continuum_predict="tclean"),
        ("archive",),
        "all 16 planes, D configuration, z = 6°, model by the CASA calls of production",
        judged=False,
    ),
    **{
        name: Case(preset(name, **_THREE_WINDOWS), BOTH, about)
        for name, about in {
            "z30": "z = 30°",
            "z50": "z = 50°",
            "z65": "z = 65°",
            "z74": "z = 74°",
            "pole": "declination 88°, z = 55°",
        }.items()
    },
    "otf": Case(preset("otf"), BOTH, "antennas moving during each integration"),
    "sidelobes": Case(preset("sidelobes"), BOTH, "bright sources outside the image and in a sidelobe"),
    "real": Case(preset("real"), BOTH, "what real data have, together, at z = 50°", judged=False),
}


def show(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


def make_run(directory: Path, name: str, case: Case, profile: Profile) -> Workspace:
    """Simulate the field and make its cube, or what of them is missing."""
    field = directory / name
    if not (field / "truth").is_dir():
        show(f"{name}: simulating")
        directory.mkdir(parents=True, exist_ok=True)
        casa.configure(directory / f"{name}-simulation.log")
        simulate(field, case.field, seed=1, progress=lambda text, fraction: None)
    run = directory / f"{name}-{profile}"
    if not run.is_dir():
        shutil.copytree(field, run)
    show(f"{name}: imaging with the profile {profile}")
    workspace = Workspace(run)
    run_workflow(workspace, RunOptions(profile=profile))
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


def rows(name: str, case: Case, profile: Profile, workspace: Workspace) -> tuple[list[str], list[str]]:
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
            f"| {name} | {profile} | {label} | {len(own)} | {ratios.mean():.4f} ± {ratios.std():.4f} "
            f"| {predicted:.3f} | {east:+.3f}, {north:+.3f} | {1e3 * np.median([m.rms[0] for m in own]):.2f} "
            f"| {1e3 * np.median([m.rms[1] for m in own]):.2f} "
            f"| {'' if alpha is None else f'{alpha.mean:+.4f} ± {alpha.scatter:.4f}'} |"
        )
        if case.judged and profile == "science":
            place = f"{name} {profile} {label}"
            if abs(ratios.mean() - 1) > 0.005 or ratios.std() > 0.01:
                misses.append(f"{place}: I/true is {ratios.mean():.4f} ± {ratios.std():.4f}")
            if max(excess) > 0.05:
                misses.append(f"{place}: a position is off by {max(excess):.3f} pixels beyond the noise")
    if case.judged and profile == "science" and alpha is not None and abs(alpha.mean) > 0.01:
        misses.append(f"{name}: spectral indices are off by {alpha.mean:+.4f} on average")
    for source, true, fit in assess(measurements).rotation_measures:
        lines.append(
            f"| {name} | {profile} | RM of {source} | | {fit.rm:.2f} ± {fit.rm_error:.2f}, true {true:.2f} "
            "| | | | | |"
        )
        if abs(fit.rm - true) > 3 * fit.rm_error:
            misses.append(f"{name} {profile} {source}: RM {fit.rm:.2f} ± {fit.rm_error:.2f}, true {true:.2f}")
    return lines, misses


HEADING = (
    "| case | profile | plane | sources | I/true | predicted peak | offset px | noise I | noise Q mJy "
    "| error of α |\n|---|---|---|---|---|---|---|---|---|---|"
)


def main(directory: Path, names: Sequence[str]) -> int:
    print(HEADING, flush=True)
    misses = []
    for name in names or CASES:
        case = CASES[name]
        for profile in case.profiles:
            lines, own = rows(name, case, profile, make_run(directory, name, case, profile))
            print("\n".join(lines), flush=True)
            misses += own
    print("", *(f"MISSED: {miss}" for miss in misses), sep="\n")
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).absolute(), sys.argv[2:]))
