"""What the commands ``simulate`` and ``demo`` need besides the simulation itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlasscube import casa
from vlasscube.cli.console import foreign_output_to, make_console, make_table
from vlasscube.cli.signals import outliving_the_terminal
from vlasscube.errors import VlassCubeError
from vlasscube.id_lists import parse_spw_group
from vlasscube.simulation.parameters import FieldSimulation
from vlasscube.texts import printable
from vlasscube.workspace.directory import RESOURCES_ARCHIVE, Workspace


def restricted_to(base: FieldSimulation | None, spws: tuple[int, ...]) -> dict[str, Any]:
    """What a preset says of spectral windows, without those that are not simulated."""
    if base is None:
        return {}
    names = ("rfi_spws", "flagged_spws", "heavily_flagged_spws", "half_flagged_spws")
    values: dict[str, Any] = {
        name: tuple(spw for spw in getattr(base, name) if spw in spws) for name in names
    }
    planes = tuple(plane for plane in base.cube_spws if set(parse_spw_group(plane)) <= set(spws))
    return values | {"cube_spws": planes}


def parse_image_size(text: str) -> tuple[int, int]:
    """Read an image size such as ``512`` or ``512,640``."""
    match = re.fullmatch(r"\s*([0-9]{1,6})\s*(?:[,x×]\s*([0-9]{1,6})\s*)?", text)
    if match is None:
        raise VlassCubeError(f"--imsize {text!r} is not an image size", hint="For example 512 or 512,640.")
    return int(match[1]), int(match[2] or match[1])


def show_presets(presets: Mapping[str, FieldSimulation]) -> None:
    """Print a table of presets."""
    rows = [
        (
            name,
            f"{p.rows} × {p.fields_per_row}",
            f"{p.zenith_distance_deg:.0f}",
            f"{p.antennas} in {p.configuration}",
            f"{len(p.science_spws)} × {p.channels}",
            str(len(p.planes)),
            f"{p.imsize[0]} × {p.imsize[1]}",
            f"{p.cell_arcsec:g}",
        )
        for name, p in presets.items()
    ]
    columns = ("preset", "fields", "z °", "array", "spw × ch", "planes", "image", "cell ″")
    make_console().print(make_table(columns, rows))


def make_field(directory: Path, parameters: FieldSimulation, seed: int) -> None:
    """Simulate a field, showing what is being done; it goes on when the terminal is closed."""
    casa.check_installation()
    from vlasscube.simulation import simulate

    logs = directory / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with outliving_the_terminal(), foreign_output_to(logs / "output.log") as (stdout, _):
        casa.configure(logs / "casa" / "simulate.log", logs / "calls" / "simulate.py", scratch=logs)
        console = make_console(stdout)
        told: set[str] = set()

        def progress(text: str, fraction: float) -> None:
            if text not in told:
                told.add(text)
                console.print(f"{fraction:4.0%}  {printable(text)}")

        simulate(directory, parameters, seed=seed, progress=progress)


def is_simulated(directory: Path) -> bool:
    """Whether a directory holds the inputs of a run."""
    return (directory / RESOURCES_ARCHIVE).exists() and any(directory.glob("*.ms"))


def comparison_line(workspace: Workspace) -> str:
    """Compare the products with the true sky, in a sentence; empty where there is nothing to compare."""
    from vlasscube.simulation.comparison import assess, compare_run

    if not (workspace.directory / "truth" / "sky.ecsv").exists():
        return ""
    result = assess(compare_run(workspace))
    if not result.source_count:
        return ""
    polarized = "" if result.mean_p_ratio is None else f", polarised intensity {result.mean_p_ratio:.3f}"
    return (
        f"Measured over true: Stokes I {result.mean_i_ratio:.3f} ± {result.scatter_i_ratio:.3f}{polarized} "
        f"({result.source_count} measurements above 20 sigma)."
    )
