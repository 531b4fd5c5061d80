"""A tiny measurement set by CASA's simulator: two fields, a calibrator, three scans, four windows.

And what is done to any: its directions and baselines said in another frame.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vlasscube import casa, casacore_tables
from vlasscube.measurement_set.direction_frame import convert_direction

FIELDS = (
    ("0050003-023000", 12.501525, -2.5),
    ("0050127-023000", 12.553, -2.5),
    ("J0050-0929", 12.672, -9.485),
)
INTENTS = ("OBSERVE_TARGET#UNSPECIFIED", "CALIBRATE_PHASE#UNSPECIFIED,CALIBRATE_AMPLI#UNSPECIFIED")
MEAN_FREQUENCIES_HZ = (8.332e9, 2.028e9, 2.156e9, 2.284e9)
CHANNELS = (2, 4, 4, 4)
INTEGRATION_S = 0.45
START_MJD_S = 59066.4 * 86400


def make_small_measurement_set(path: Path) -> None:
    """Write a measurement set of four antennas, without signal; its last spectral window has no data."""
    measures, simulator = casa.tools().measures(), casa.tools().simulator()
    simulator.open(str(path))
    rng = np.random.default_rng(1)
    simulator.setconfig(
        telescopename="EVLA",
        x=list(rng.uniform(-500, 500, 4)),
        y=list(rng.uniform(-500, 500, 4)),
        z=[0.0] * 4,
        dishdiameter=[25.0] * 4,
        mount=["alt-az"] * 4,
        antname=[f"ea{number:02d}" for number in range(1, 5)],
        coordsystem="local",
        referencelocation=measures.observatory("VLA"),
    )
    for number, (mean, channels) in enumerate(zip(MEAN_FREQUENCIES_HZ, CHANNELS, strict=True)):
        width = 128e6 / channels
        simulator.setspwindow(
            spwname=f"EVLA_S#A0C0#{number}",
            freq=f"{mean - width * (channels - 1) / 2}Hz",
            deltafreq=f"{width}Hz",
            freqresolution=f"{width}Hz",
            nchannels=channels,
            stokes="RR RL LR LL",
        )
    simulator.setfeed(mode="perfect R L")
    for name, ra, dec in FIELDS:
        simulator.setfield(
            sourcename=name, sourcedirection=measures.direction("J2000", f"{ra}deg", f"{dec}deg")
        )
    simulator.setauto(0.0)
    simulator.settimes(
        integrationtime=f"{INTEGRATION_S}s",
        usehourangle=False,
        referencetime=measures.epoch("utc", f"{START_MJD_S}s"),
    )
    # Times in seconds from the start; spectral window 3 is not observed at all.
    for field, begin in ((2, 0.0), (0, 10.0), (1, 11.0), (0, 20.0)):
        for spw in range(3):
            simulator.observe(
                FIELDS[field][0], f"EVLA_S#A0C0#{spw}", starttime=f"{begin}s", stoptime=f"{begin + 0.9}s"
            )
    simulator.close()
    with casa.table(path, writable=True) as table:
        seconds = table.getcol("TIME") - table.getcol("TIME").min()
        scan = np.select([seconds < 5, seconds < 15], [3, 5], 8).astype(np.int32)
        table.putcol("SCAN_NUMBER", scan)
        table.putcol("STATE_ID", np.where(scan == 3, 1, 0).astype(np.int32))
    with casa.table(path / "STATE", writable=True) as table:
        table.addrows(2 - table.nrows())
        table.putcol("OBS_MODE", list(INTENTS))


def relabel_frame(ms: Path, frame: str) -> None:
    """Say the directions and baselines of a measurement set in J2000 in another frame."""
    with casacore_tables.table(ms) as table:
        observed = float(table.getcell("TIME", 0))
    with casacore_tables.table(ms / "FIELD", writable=True) as fields:
        given = fields.getcol("PHASE_DIR")
        turns = np.zeros(len(given))
        columns = ("PHASE_DIR", "DELAY_DIR", "REFERENCE_DIR")
        for row, (ra, dec) in enumerate(given[:, 0]):
            *place, turns[row] = convert_direction(ra, dec, "J2000", frame, observed)
            for column in columns:
                fields.putcell(column, row, np.array([place]))
        for column in columns:
            measure = fields.getcolkeyword(column, "MEASINFO")
            fields.putcolkeyword(column, "MEASINFO", {**measure, "Ref": frame})
    with casacore_tables.table(ms, writable=True) as table:
        uvw, turn = table.getcol("UVW"), turns[table.getcol("FIELD_ID")]
        u_m, v_m = uvw[:, 0].copy(), uvw[:, 1].copy()
        uvw[:, 0] = np.cos(turn) * u_m + np.sin(turn) * v_m
        uvw[:, 1] = np.cos(turn) * v_m - np.sin(turn) * u_m
        table.putcol("UVW", uvw)
