"""A 16-plane cube of a simulated field against its truth: ``python benchmarks/accuracy.py DIR``.

Makes the field and the cube unless they are there, prints the table for docs/accuracy.md, and ends with
status 1 if a requirement is not met.
"""

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from vlasscube import Workspace, casa, run_workflow
from vlasscube.simulation import simulate
from vlasscube.simulation.comparison import Assessment, SourceMeasurement, assess, compare_run
from vlasscube.simulation.presets import preset

ACCURACY_FIELD = preset(
    "demo",
    flagged_spws=(),
    continuum_model="clean",
    continuum_predict="tclean",
)
"""All 16 planes, with the continuum run's model by the CASA calls of production."""


def show(text: str, fraction: float | None = None) -> None:
    print(f"  {text}" if fraction is None else f"  {100 * fraction:3.0f} % {text}", flush=True)


def table(measurements: tuple[SourceMeasurement, ...]) -> str:
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
        *(f"MISSED: {miss}" for miss in result.misses),
    ]
    return "\n".join(lines)


def main(directory: Path) -> int:
    if not (directory / "truth").is_dir():
        directory.parent.mkdir(parents=True, exist_ok=True)
        casa.configure(directory.parent / f"{directory.name}-simulation.log")
        simulate(directory, ACCURACY_FIELD, seed=1, progress=show)
    workspace = Workspace(directory)
    run_workflow(workspace, listener=lambda event: show(f"{event.stage} {event.plane or ''} {event.text}"))
    measurements = compare_run(workspace)
    result = assess(measurements)
    print(table(measurements), report(result), sep="\n\n")
    return 1 if result.misses else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).absolute()))
