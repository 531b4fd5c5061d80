"""Real visibilities in the clothes of the survey: 3C273, as CASA's data bring it, scaled to S band.

The observation (VLA, 1989, 8.085 GHz, one channel, 22 % flagged, phase centre in B1950) has RR, RL, LR, LL of
27 antennas. Frequencies are lowered and baselines stretched by the same factor, which leaves every visibility
where it is in the uv plane. Three windows get the same data, so that nothing may depend on the window: not
the flux, and not the angle of polarisation.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import casadata
import numpy as np

from vlasscube import casa, casacore_tables, naming
from vlasscube.measurement_set.direction_frame import convert_direction
from vlasscube.simulation import continuum
from vlasscube.simulation.layout import Array, Pointing
from vlasscube.simulation.measurement_set import INTENT
from vlasscube.simulation.observation import Observation
from vlasscube.simulation.parameters import FieldSimulation
from vlasscube.simulation.sky import Source
from vlasscube.simulation.spectral_windows import spw_mean_frequency_hz
from vlasscube.sky import format_phasecenter

WINDOWS = (10, 13, 16)
"""High enough that the longest baselines stay below the 12 km that are imaged."""
_OBSERVED_HZ = 8.085e9
_ANTENNAS = 27


def make_run_directory(directory: Path) -> None:
    """Make measurement set, parameter lists and resources of a run."""
    imported = directory / "imported.ms"
    casa.run_task(
        "importuvfits", fitsfile=str(Path(casadata.datapath) / "demo" / "3C273XC1.fits"), vis=str(imported)
    )
    observation = _observation(imported)
    parameters = observation.parameters
    _make_measurement_set(imported, directory / parameters.input_ms)
    scratch = directory / "continuum"
    scratch.mkdir()
    files = continuum.run_continuum(
        directory / parameters.input_ms, scratch, observation, lambda text, fraction: None
    )
    continuum.pack_resources(files, directory / continuum.TARBALL)
    _write_lists(directory, parameters)
    for path in (imported, imported.with_name("imported.ms.flagversions"), scratch):
        shutil.rmtree(path, ignore_errors=True)


def _observation(ms: Path) -> Observation:
    with casacore_tables.table(ms / "FIELD") as table:
        given = table.getcell("PHASE_DIR", 0)[0]
    with casacore_tables.table(ms) as table:
        times, scans = table.getcol("TIME"), table.getcol("SCAN_NUMBER")
    with casacore_tables.table(ms / "ANTENNA") as table:
        names, positions = table.getcol("NAME"), table.getcol("POSITION")
    ra, dec, _ = convert_direction(*map(float, given), "B1950_VLA", "J2000", float(times[0]))
    ra %= 2 * np.pi
    parameters = FieldSimulation(
        name="3c273",
        ra_deg=float(np.degrees(ra)),
        dec_deg=float(np.degrees(dec)),
        science_spws=WINDOWS,
        antennas=_ANTENNAS,
        imsize=(256, 256),
        cell_arcsec=0.5,
        keep_final_state=False,
    )
    name = naming.format_field_name(parameters.ra_deg, parameters.dec_deg)
    return Observation(
        parameters=parameters,
        seed=1,
        sources=(
            Source("core", parameters.ra_deg, parameters.dec_deg, 30.0),
            # The jet.
            Source("jet", parameters.ra_deg - 12 / 3600, parameters.dec_deg - 16 / 3600, 3.0),
        ),
        array=Array(tuple(names), tuple(names), positions, tuple(sorted({*range(_ANTENNAS)} - {10}))),
        pointings=tuple(
            Pointing(0, name, int(scan), ra, dec, (float(times[scans == scan].min()),), ())
            for scan in np.unique(scans)
        ),
        interference=(),
    )


def _make_measurement_set(imported: Path, path: Path) -> None:
    """Copy the data into three windows of S band; antenna 27, whose number no survey has, is left out."""
    with casacore_tables.table(imported) as table:
        table.query(f"ANTENNA1 < {_ANTENNAS} && ANTENNA2 < {_ANTENNAS}").copy(str(path), deep=True)
    frequencies = np.array([spw_mean_frequency_hz(number) for number in range(18)])
    with casacore_tables.table(path / "SPECTRAL_WINDOW", writable=True) as table:
        width = table.getcell("CHAN_WIDTH", 0)
        table.addrows(len(frequencies) - 1)
        for row, frequency in enumerate(frequencies):
            for column in table.colnames():
                table.putcell(column, row, table.getcell(column, 0))
            table.putcell("CHAN_FREQ", row, np.array([frequency]))
            table.putcell("REF_FREQUENCY", row, frequency)
            table.putcell("NAME", row, f"EVLA_S#{row}")
            assert width.size == 1
    with casacore_tables.table(path / "DATA_DESCRIPTION", writable=True) as table:
        table.addrows(len(frequencies) - 1)
        table.putcol("SPECTRAL_WINDOW_ID", np.arange(len(frequencies), dtype=np.int32))
    with casacore_tables.table(path / "SOURCE", writable=True) as table:
        table.putcell("SPECTRAL_WINDOW_ID", 0, -1)
    with casacore_tables.table(path / "STATE", writable=True) as table:
        table.addrows(1)
        table.putcell("OBS_MODE", 0, INTENT)
    with casacore_tables.table(path / "OBSERVATION", writable=True) as table:
        # Whose primary beam is known at S band.
        table.putcell("TELESCOPE_NAME", 0, "EVLA")
    with casacore_tables.table(path / "FIELD", writable=True) as table:
        given = table.getcell("PHASE_DIR", 0)[0]
        ra, dec, _ = convert_direction(*map(float, given), "B1950_VLA", "J2000", 4.12e9)
        table.putcell("NAME", 0, naming.format_field_name(np.degrees(ra) % 360, np.degrees(dec)))
    with casacore_tables.table(path, writable=True) as table:
        # It has no cells, and its storage manager does not take to more rows without any.
        empty = table.getcoldesc("FLAG_CATEGORY")
        table.removecols("FLAG_CATEGORY")
        empty |= {"dataManagerType": "StandardStMan", "dataManagerGroup": "FlagCategory"}
        table.addcols({"FLAG_CATEGORY": empty})
        rows = table.nrows()
        columns = [name for name in table.colnames() if table.iscelldefined(name, 0)]
        values = {name: table.getcol(name) for name in columns}
        table.addrows((len(WINDOWS) - 1) * rows)
        for copy, window in enumerate(WINDOWS):
            for name in columns:
                value = values[name]
                if name == "DATA_DESC_ID":
                    value = np.full(rows, window, np.int32)
                elif name == "STATE_ID":
                    value = np.zeros(rows, np.int32)
                elif name == "UVW":
                    value = value * (_OBSERVED_HZ / frequencies[window])
                table.putcol(name, value, copy * rows, rows)


def _write_lists(directory: Path, parameters: FieldSimulation) -> None:
    common = {
        "phasecenter": format_phasecenter(parameters.ra_deg, parameters.dec_deg),
        "imsize": list(parameters.imsize),
        "cell": [f"{parameters.cell_arcsec}arcsec"],
    }
    lists = {
        "SEIP_parameter.list": {
            "imagename": parameters.image_name("se"),
            "imaging_mode": "VLASS-SE-CONT-MOSAIC",
            "spw": parameters.spw_string,
        },
        "CCIP_parameter.list": {
            "imagename": parameters.image_name("cc"),
            "imaging_mode": "VLASS-SE-CUBE",
            "spw": list(parameters.planes),
        },
    }
    for name, values in lists.items():
        lines = [f"{key}={value!r}\n" for key, value in {**values, **common}.items()]
        (directory / name).write_text("".join(lines))
