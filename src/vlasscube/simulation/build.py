"""Make a simulated field: measurement set, continuum products, parameter lists, truth."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vlasscube.errors import ProblemListError, WorkspaceError
from vlasscube.parameters.quantities import format_angle_arcsec
from vlasscube.simulation import continuum, corruption, layout
from vlasscube.simulation.archive_subtables import write_whole_observation
from vlasscube.simulation.drawing import draw_sky
from vlasscube.simulation.flag_patterns import antennas_without_solutions
from vlasscube.simulation.measurement_set import write_measurement_set
from vlasscube.simulation.observation import Observation
from vlasscube.simulation.parameters import FieldSimulation
from vlasscube.simulation.sky import COHERENCE, IONOSPHERIC_RM, write_truth
from vlasscube.workspace import record_json
from vlasscube.workspace.files import publish_all, remove, write_text

SEIP_LIST = "SEIP_parameter.list"
CCIP_LIST = "CCIP_parameter.list"
TRUTH = "truth"
SKY_FILE = "sky.ecsv"
PARAMETERS_FILE = "parameters.json"
FINAL_STATE_FILE = "continuum_final.npz"


@dataclass(frozen=True)
class SimulationRecord:
    """What was simulated; file names are relative to `directory`."""

    directory: str
    parameters: FieldSimulation
    seed: int
    measurement_set: str
    working_measurement_set: str
    """Name that the restored measurement set has; flags and self-cal table in the archive carry it."""
    seip_list: str
    ccip_list: str
    resources: str
    sky: str
    final_state: str | None
    """The state that restoring must lead to, if it was kept."""
    rows: int
    fields: int
    antennas: int
    spws: tuple[int, ...]
    sources: int
    seconds: float


def simulate(
    directory: Path,
    parameters: FieldSimulation,
    *,
    seed: int = 1,
    progress: Callable[[str, float], None] | None = None,
) -> SimulationRecord:
    """Simulate a field and its continuum run.

    Everything is made in a sub-directory and moved into place when it is whole; nothing is written elsewhere.

    Parameters
    ----------
    directory : Path
        Created if need be; it must not hold a simulation already.
    parameters : FieldSimulation
        See `vlasscube.simulation.presets.preset`.
    seed : int
        Determines sky, errors and noise.
    progress : callable, optional
        Called with what is being done and the fraction done.

    Returns
    -------
    SimulationRecord

    Raises
    ------
    WorkspaceError
        If the directory holds files with the names of the simulation's.
    ProblemListError
        If the sources do not fit into the mosaic.
    """
    started = time.monotonic()
    report = progress or (lambda _message, _fraction: None)
    directory = directory.resolve()
    _refuse_overwriting(directory, parameters)
    observation = observe(parameters, seed)
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".simulation-", dir=directory) as scratch:
        finished, work = Path(scratch) / "finished", Path(scratch) / "work"
        truth = finished / TRUTH
        for path in (truth, work):
            path.mkdir(parents=True)
        rows = write_measurement_set(
            finished / parameters.input_ms, observation, lambda done: report("visibilities", 0.3 * done)
        )
        files = continuum.run_continuum(
            finished / parameters.input_ms,
            work,
            observation,
            lambda step, done: report(f"continuum: {step}", 0.3 + 0.6 * done),
        )
        if parameters.keep_final_state:
            continuum.save_final_state(files.ms, truth / FINAL_STATE_FILE)
        if parameters.whole_observation_rows:
            # After the continuum run, whose split would copy them.
            write_whole_observation(finished / parameters.input_ms, parameters)
        # The working copy is the largest part of what is no longer needed.
        remove(files.ms)
        report("packing", 0.9)
        continuum.pack_resources(files, finished / continuum.TARBALL)
        _write_parameter_lists(finished, parameters)
        write_truth(
            truth / SKY_FILE,
            observation.sources,
            {
                "preset": parameters.name,
                "seed": seed,
                IONOSPHERIC_RM: parameters.ionospheric_rm_rad_m2,
                COHERENCE: corruption.coherence(
                    parameters,
                    seed,
                    {pointing.scan for pointing in observation.pointings},
                    observation.array.positions_m,
                    observation.array.baselines,
                    antennas_without_solutions(observation),
                ),
            },
        )
        record = SimulationRecord(
            directory=str(directory),
            parameters=parameters,
            seed=seed,
            measurement_set=parameters.input_ms,
            working_measurement_set=parameters.working_ms,
            seip_list=SEIP_LIST,
            ccip_list=CCIP_LIST,
            resources=continuum.TARBALL,
            sky=f"{TRUTH}/{SKY_FILE}",
            final_state=f"{TRUTH}/{FINAL_STATE_FILE}" if parameters.keep_final_state else None,
            rows=rows,
            fields=len(observation.pointings),
            antennas=parameters.antennas,
            spws=parameters.science_spws,
            sources=len(observation.sources),
            seconds=round(time.monotonic() - started, 2),
        )
        write_text(truth / PARAMETERS_FILE, record_json.to_json(record) + "\n")
        publish_all((path, directory / path.name) for path in sorted(finished.iterdir()))
    report("done", 1.0)
    return record


def observe(parameters: FieldSimulation, seed: int) -> Observation:
    """Draw everything random and lay out the observation, without writing anything.

    Raises
    ------
    ProblemListError
        If the sources do not fit into the mosaic.
    """
    pointings = layout.pointings(parameters)
    try:
        sources = draw_sky(parameters, seed)
    except ValueError as error:
        raise ProblemListError("the sky does not fit the mosaic", [str(error)]) from error
    return Observation(
        parameters=parameters,
        seed=seed,
        sources=sources,
        array=layout.array(parameters, seed),
        pointings=pointings,
        interference=corruption.interference(parameters, seed, pointings),
    )


def _refuse_overwriting(directory: Path, parameters: FieldSimulation) -> None:
    names = (parameters.input_ms, SEIP_LIST, CCIP_LIST, continuum.TARBALL, TRUTH)
    present = [name for name in names if (directory / name).exists()]
    if present:
        raise WorkspaceError(
            f"{directory} already holds a simulation: {', '.join(present)}",
            hint="Choose another directory, or delete these files first.",
        )


def _write_parameter_lists(directory: Path, parameters: FieldSimulation) -> None:
    common: dict[str, object] = {
        "phasecenter": parameters.phasecenter,
        "imsize": list(parameters.imsize),
        "cell": [format_angle_arcsec(parameters.cell_arcsec)],
    }
    if parameters.cutout_imsize is not None:
        common["cutout_imsize"] = list(parameters.cutout_imsize)
    lists: dict[str, dict[str, object]] = {
        SEIP_LIST: {
            "imagename": parameters.image_name("se"),
            "imaging_mode": "VLASS-SE-CONT-MOSAIC",
            "spw": parameters.spw_string,
        },
        CCIP_LIST: {
            "imagename": parameters.image_name("cc"),
            "imaging_mode": "VLASS-SE-CUBE",
            "spw": list(parameters.planes),
        },
    }
    for name, values in lists.items():
        lines = [f"{key}={value!r}" for key, value in {**values, **common}.items()]
        write_text(directory / name, "\n".join(lines) + "\n")
