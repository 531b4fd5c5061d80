"""Write the simulated measurement set: a skeleton by CASA's simulator, filled through CASA's table tool."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlasscube import casa
from vlasscube.simulation.archive_subtables import add_place_without_antenna
from vlasscube.simulation.field_data import field_data
from vlasscube.simulation.layout import Pointing, empty_fields, uvw_m
from vlasscube.simulation.observation import Observation
from vlasscube.simulation.parameters import FieldSimulation
from vlasscube.simulation.spectral_windows import (
    BANDWIDTH_HZ,
    LAST_OF_FIRST_BASEBAND,
    SPW_COUNT,
    channel_frequencies_hz,
    spw_name,
)
from vlasscube.stokes_codes import CIRCULAR_CORRELATIONS

INTENT = "OBSERVE_TARGET#UNSPECIFIED"


def write_measurement_set(
    path: Path, observation: Observation, progress: Callable[[float], None] | None = None
) -> int:
    """Write the measurement set and return its number of rows.

    Rows are in the order of time, spectral window and baseline; one field at a time is held in memory.
    """
    _create_skeleton(path, observation)
    _fill_subtables(path, observation)
    pointings = observation.pointings
    with casa.table(path, writable=True) as table:
        # The simulator adds scratch columns, which a measurement set from the archive does not have.
        surplus = [name for name in ("MODEL_DATA", "CORRECTED_DATA") if name in table.colnames()]
        if surplus:
            table.removecols(surplus)
        rows_per_field = (
            observation.parameters.dumps_per_field
            * len(observation.parameters.science_spws)
            * len(observation.array.baselines[0])
        )
        table.addrows(rows_per_field * len(pointings))
        for index, pointing in enumerate(pointings):
            columns = _field_columns(observation, index, pointing)
            for name, values in columns.items():
                table.putcol(name, values, index * rows_per_field, rows_per_field)
            if progress is not None:
                progress((index + 1) / len(pointings))
    return rows_per_field * len(pointings)


def _field_columns(observation: Observation, index: int, pointing: Pointing) -> dict[str, NDArray[Any]]:
    """All columns of the main table for one field, rows along the last axis."""
    p = observation.parameters
    first, second = observation.array.baselines
    positions = observation.array.positions_m
    dumps, spws, baselines = p.dumps_per_field, len(p.science_spws), len(first)
    rows = dumps * spws * baselines
    # UVW points from the second to the first antenna in CASA's convention.
    uvw = np.stack(
        [
            uvw_m(positions[first] - positions[second], time, pointing.ra_rad, pointing.dec_rad)
            for time in pointing.times_mjd_s
        ]
    )
    blocks = [field_data(observation, index, pointing, spw, uvw) for spw in p.science_spws]
    data, flag = (
        np.stack(
            [getattr(block, name).reshape(4, p.channels, dumps, baselines) for block in blocks], axis=3
        ).reshape(4, p.channels, rows)
        for name in ("data", "flag")
    )
    shape = (dumps, spws, baselines)
    times = np.broadcast_to(np.array(pointing.times_mjd_s)[:, None, None], shape).ravel()
    weight = np.full((4, rows), 2 * BANDWIDTH_HZ / p.channels * p.integration_s)
    return {
        "TIME": times,
        "TIME_CENTROID": times,
        "EXPOSURE": np.full(rows, p.integration_s),
        "INTERVAL": np.full(rows, p.integration_s),
        "ANTENNA1": np.broadcast_to(first, shape).ravel(),
        "ANTENNA2": np.broadcast_to(second, shape).ravel(),
        "DATA_DESC_ID": np.broadcast_to(
            np.array(p.science_spws, dtype=np.int32)[None, :, None], shape
        ).ravel(),
        "FIELD_ID": np.full(rows, pointing.field_id, dtype=np.int32),
        "SCAN_NUMBER": np.full(rows, pointing.scan, dtype=np.int32),
        **{
            name: np.zeros(rows, dtype=np.int32)
            for name in ("ARRAY_ID", "FEED1", "FEED2", "OBSERVATION_ID", "PROCESSOR_ID", "STATE_ID")
        },
        "UVW": np.broadcast_to(uvw[:, None], (dumps, spws, baselines, 3)).reshape(rows, 3).T,
        "WEIGHT": weight,
        "SIGMA": 1 / np.sqrt(weight),
        "FLAG_ROW": flag.all(axis=(0, 1)),
        "FLAG": flag,
        "DATA": data,
    }


def _create_skeleton(path: Path, observation: Observation) -> None:
    """Let CASA create an empty measurement set with antennas, feeds and spectral windows."""
    p, array = observation.parameters, observation.array
    tools = casa.tools()
    simulator, measures = tools.simulator(), tools.measures()
    simulator.open(str(path))
    try:
        x, y, z = array.positions_m.T.tolist()
        count = len(array.names)
        simulator.setconfig(
            telescopename="VLA",
            x=x,
            y=y,
            z=z,
            dishdiameter=[25.0] * count,
            mount=["alt-az"] * count,
            antname=list(array.names),
            padname=list(array.pads),
            coordsystem="global",
            referencelocation=measures.observatory("VLA"),
        )
        simulator.setfeed(mode="perfect R L")
        for spw in range(SPW_COUNT):
            frequencies = channel_frequencies_hz(p, spw)
            width = f"{frequencies[1] - frequencies[0]:.3f}Hz"
            simulator.setspwindow(
                spwname=spw_name(spw),
                freq=f"{frequencies[0]:.3f}Hz",
                deltafreq=width,
                freqresolution=width,
                nchannels=len(frequencies),
                stokes=" ".join(CIRCULAR_CORRELATIONS),
            )
        simulator.setfield(
            sourcename="skeleton", sourcedirection=["J2000", f"{p.ra_deg}deg", f"{p.dec_deg}deg"]
        )
    finally:
        simulator.close()
        simulator.done()


def _fill_subtables(path: Path, observation: Observation) -> None:
    _fill_spectral_windows(path, observation.parameters)
    _fill_fields(path, observation)
    _fill_pointing(path, observation)
    _fill_small_tables(path, observation)
    if observation.parameters.whole_observation_rows:
        add_place_without_antenna(path)


def _fill_spectral_windows(path: Path, parameters: FieldSimulation) -> None:
    with casa.table(path / "SPECTRAL_WINDOW", writable=True) as table:
        table.addcols(
            {
                "BBC_NO": {
                    "valueType": "int",
                    "dataManagerType": "StandardStMan",
                    "dataManagerGroup": "StandardStMan",
                    "option": 0,
                    "maxlen": 0,
                    "comment": "Baseband converter",
                }
            }
        )
        # Importing from the VLA's archive numbers the basebands A0C0 and B0D0 in this way.
        table.putcol(
            "BBC_NO",
            np.array(
                [12 if spw <= LAST_OF_FIRST_BASEBAND else 15 for spw in range(SPW_COUNT)], dtype=np.int32
            ),
        )
        table.putcol(
            "REF_FREQUENCY",
            np.array([channel_frequencies_hz(parameters, spw)[0] for spw in range(SPW_COUNT)]),
        )
        for spw in range(SPW_COUNT):
            table.putcell("CHAN_FREQ", spw, channel_frequencies_hz(parameters, spw))
        table.putcol("TOTAL_BANDWIDTH", np.full(SPW_COUNT, BANDWIDTH_HZ))
    # The simulator makes one polarization setup per spectral window; all are the same.
    with casa.table(path / "DATA_DESCRIPTION", writable=True) as table:
        table.putcol("POLARIZATION_ID", np.zeros(SPW_COUNT, dtype=np.int32))
    with casa.table(path / "POLARIZATION", writable=True) as table:
        table.removerows(list(range(1, table.nrows())))


def _fill_fields(path: Path, observation: Observation) -> None:
    first = observation.parameters.first_field_id
    empty = empty_fields(observation.parameters)
    entries = [
        *empty[:first],
        *((pointing.name, pointing.ra_rad, pointing.dec_rad) for pointing in observation.pointings),
        *empty[first:],
    ]
    names, ra, dec = zip(*entries, strict=True)
    count = len(entries)
    start = observation.pointings[0].times_mjd_s[0]
    directions = np.array([ra, dec])
    with casa.table(path / "FIELD", writable=True) as table:
        table.addrows(count - table.nrows())
        for column in ("DELAY_DIR", "PHASE_DIR", "REFERENCE_DIR"):
            table.putcol(column, directions[:, None, :])
        table.putcol("NAME", list(names))
        table.putcol("CODE", ["NONE"] * count)
        table.putcol("SOURCE_ID", np.arange(count, dtype=np.int32))
        table.putcol("NUM_POLY", np.zeros(count, dtype=np.int32))
        table.putcol("TIME", np.full(count, start))
        table.putcol("FLAG_ROW", np.zeros(count, dtype=bool))
    with casa.table(path / "SOURCE", writable=True) as table:
        surplus = [name for name in ("POSITION", "PULSAR_ID") if name in table.colnames()]
        if surplus:
            table.removecols(surplus)
        table.addrows(count - table.nrows())
        table.putcol("NAME", list(names))
        table.putcol("CODE", ["NONE"] * count)
        table.putcol("DIRECTION", directions)
        table.putcol("PROPER_MOTION", np.zeros((2, count)))
        table.putcol("SOURCE_ID", np.arange(count, dtype=np.int32))
        table.putcol("SPECTRAL_WINDOW_ID", np.full(count, -1, dtype=np.int32))
        table.putcol("CALIBRATION_GROUP", np.zeros(count, dtype=np.int32))
        table.putcol("NUM_LINES", np.zeros(count, dtype=np.int32))
        table.putcol("REST_FREQUENCY", np.full((1, count), 3.0e9))
        table.putcol("SYSVEL", np.zeros((1, count)))
        table.putcol("TRANSITION", np.full((1, count), "continuum"))
        table.putcol("TIME", np.full(count, start))
        table.putcol("INTERVAL", np.full(count, 1e30))


def _fill_pointing(path: Path, observation: Observation) -> None:
    p = observation.parameters
    antennas = np.arange(p.antennas, dtype=np.int32)
    times = np.array([time for pointing in observation.pointings for time in pointing.times_mjd_s])
    directions = np.array(
        [direction for pointing in observation.pointings for direction in pointing.dump_directions_rad]
    )
    names = [pointing.name for pointing in observation.pointings for _ in pointing.times_mjd_s]
    rows = len(times) * len(antennas)
    columns: dict[str, Any] = {
        "ANTENNA_ID": np.tile(antennas, len(times)),
        "TIME": np.repeat(times, len(antennas)),
        "TIME_ORIGIN": np.repeat(times, len(antennas)),
        "INTERVAL": np.full(rows, p.integration_s),
        "NAME": [name for name in names for _ in antennas],
        "NUM_POLY": np.zeros(rows, dtype=np.int32),
        "TRACKING": np.ones(rows, dtype=bool),
        "DIRECTION": np.repeat(directions, len(antennas), axis=0).T[:, None, :],
        "TARGET": np.repeat(directions, len(antennas), axis=0).T[:, None, :],
    }
    with casa.table(path / "POINTING", writable=True) as table:
        table.addrows(rows)
        for name, values in columns.items():
            table.putcol(name, values)


def _fill_small_tables(path: Path, observation: Observation) -> None:
    p = observation.parameters
    half = p.integration_s / 2
    start = observation.pointings[0].times_mjd_s[0] - half
    end = observation.pointings[-1].times_mjd_s[-1] + half
    blocks = p.fsid.split(".")
    scheduling = next((part[2:] for part in blocks if part.startswith("sb")), "1")
    execution = next((part[2:] for part in blocks if part.startswith("eb")), "1")
    rows: dict[str, dict[str, Any]] = {
        "OBSERVATION": {
            "TELESCOPE_NAME": "EVLA",
            "OBSERVER": "vlasscube",
            "PROJECT": f"VLASS{p.epoch}",
            "TIME_RANGE": np.array([start, end]),
            "SCHEDULE_TYPE": "EVLA",
            "SCHEDULE": np.array(
                [f"SchedulingBlock uid://evla/pdb/{scheduling}", f"ExecBlock uid://evla/pdb/{execution}"]
            ),
            "LOG": np.array(["simulated"]),
            "RELEASE_DATE": end,
            "FLAG_ROW": False,
        },
        "PROCESSOR": {
            "TYPE": "CORRELATOR",
            "SUB_TYPE": "EVLA_WIDAR",
            "TYPE_ID": -1,
            "MODE_ID": -1,
            "FLAG_ROW": False,
        },
        "STATE": {
            "OBS_MODE": INTENT,
            "SIG": True,
            "REF": False,
            "CAL": 0.0,
            "LOAD": 0.0,
            "SUB_SCAN": 1,
            "FLAG_ROW": False,
        },
        "HISTORY": {
            "TIME": start,
            "OBSERVATION_ID": 0,
            "MESSAGE": f"simulated field {p.name}, seed {observation.seed}",
            "PRIORITY": "INFO",
            "ORIGIN": "vlasscube.simulation",
            "OBJECT_ID": 0,
            "APPLICATION": "vlasscube",
            "CLI_COMMAND": np.array([""]),
            "APP_PARAMS": np.array([""]),
        },
    }
    for name, cells in rows.items():
        with casa.table(path / name, writable=True) as table:
            table.addrows(max(0, 1 - table.nrows()))
            for column, value in cells.items():
                table.putcell(column, 0, value)
