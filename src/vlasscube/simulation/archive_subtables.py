"""Subtables as long as the archive's: those of the whole observation that a set was split from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vlasscube import casacore_tables
from vlasscube.constants import DAY_S
from vlasscube.simulation.parameters import FieldSimulation
from vlasscube.simulation.spectral_windows import SPW_COUNT

_SAMPLE_S = 0.1
"""Between two readings of the antennas' encoders."""
_WEATHER_ROWS = 5000
_OTHER_ROWS = {"CALDEVICE": 1000, "ASDM_ANTENNA": 28}
_RECEIVER_ROWS = 1800


def write_whole_observation(path: Path, parameters: FieldSimulation) -> None:
    """Replace POINTING by that of a whole observation, and add what else the archive's sets have.

    Parameters
    ----------
    path : Path
        Measurement set with all subtables that version 2 requires.
    parameters : FieldSimulation
        Whose ``whole_observation_rows`` POINTING and SYSPOWER get.
    """
    rows = parameters.whole_observation_rows
    samples = (np.arange(rows) // parameters.antennas).astype(np.float64)
    times = parameters.start_mjd * DAY_S + _SAMPLE_S * samples
    antennas = (np.arange(rows) % parameters.antennas).astype(np.int32)
    _lengthen_pointing(path / "POINTING", parameters, times, antennas)
    _add_subtable(
        path,
        "SYSPOWER",
        {
            "ANTENNA_ID": antennas,
            "TIME": times,
            "SWITCHED_DIFF": np.ones((rows, 2), np.float32),
            "SWITCHED_SUM": np.ones((rows, 2), np.float32),
        },
    )
    for name, count in _OTHER_ROWS.items():
        _add_subtable(path, name, {"ANTENNA_ID": np.resize(antennas, count), "TIME": np.resize(times, count)})
    windows = np.arange(_RECEIVER_ROWS) % SPW_COUNT
    # CASA looks into this one, wherever it is, for the bands of the windows.
    _add_subtable(
        path,
        "ASDM_RECEIVER",
        {
            "receiverId": np.zeros(_RECEIVER_ROWS, np.int32),
            "spectralWindowId": np.array([f"SpectralWindow_{window}" for window in windows]),
            "frequencyBand": np.array(["EVLA_S"] * _RECEIVER_ROWS),
            "name": np.array(["EVLA_S"] * _RECEIVER_ROWS),
            "numLO": np.full(_RECEIVER_ROWS, 3, np.int32),
        },
    )
    # CASA wants those that the format defines to be complete.
    with casacore_tables.table(path, writable=True) as table:
        casacore_tables.make_ms_subtable("WEATHER", path / "WEATHER")
        table.putkeyword("WEATHER", f"Table: {path / 'WEATHER'}")
    with casacore_tables.table(path / "WEATHER", writable=True) as table:
        table.addrows(_WEATHER_ROWS)
        table.putcol("TIME", np.resize(times, _WEATHER_ROWS))


def add_place_without_antenna(path: Path) -> None:
    """Add a row of ANTENNA for a place of the array without an antenna, as the archive's sets have."""
    with casacore_tables.table(path / "ANTENNA", writable=True) as table:
        place = int(table.nrows())
        table.addrows(1)
        # Of the rest, what a new row has is what the archive has: no name, no diameter, no position.
        table.putcell("MOUNT", place, "ALT-AZ")
        table.putcell("POSITION", place, np.zeros(3))
        table.putcell("OFFSET", place, np.zeros(3))


def _add_subtable(path: Path, name: str, columns: dict[str, NDArray[np.generic]]) -> None:
    if (path / name).exists():
        return
    casacore_tables.write_table(path / name, columns)
    with casacore_tables.table(path, writable=True) as table:
        table.putkeyword(name, f"Table: {path / name}")


def _lengthen_pointing(
    path: Path, parameters: FieldSimulation, times: NDArray[np.float64], antennas: NDArray[np.int32]
) -> None:
    directions = np.radians([parameters.ra_deg, parameters.dec_deg])
    with casacore_tables.table(path, writable=True) as table:
        start = int(table.nrows())
        count = times.size - start
        table.addrows(max(count, 0))
        if count > 0:
            # One value of each reading for all antennas, as the storage manager of the table expects it.
            table.putcol("TIME", times[:count], start, count)
            table.putcol("ANTENNA_ID", antennas[:count], start, count)
            table.putcol("INTERVAL", np.full(count, _SAMPLE_S), start, count)
            table.putcell("DIRECTION", start, directions[None])
            table.putcell("TARGET", start, directions[None])
