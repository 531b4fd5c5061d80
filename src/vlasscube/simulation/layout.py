"""Where the antennas are, where they point and when: the geometry of the observation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files

import erfa
import numpy as np
from numpy.typing import NDArray

from vlasscube import naming
from vlasscube.constants import DAY_S, JD_OF_MJD_ZERO
from vlasscube.errors import CasaUnavailableError
from vlasscube.simulation.parameters import VLA_LATITUDE_RAD, FieldSimulation
from vlasscube.sky import direction_at

VLA_LONGITUDE_RAD = math.radians(-107.618283)
_SIDEREAL_RATE = 1.00273790935


@dataclass(frozen=True)
class Pointing:
    """A field with data: one phase centre, seen for a few integrations while the antennas move on."""

    field_id: int
    name: str
    scan: int
    ra_rad: float
    dec_rad: float
    times_mjd_s: tuple[float, ...]
    """Centres of the integrations (UTC)."""
    dump_directions_rad: tuple[tuple[float, float], ...]
    """True pointing direction in the middle of each integration."""
    step_rad: float = 0.0
    """Way to the east that the pointing makes in an integration; negative in every other row."""

    def path_rad(self, dump: int, along: NDArray[np.float64]) -> tuple[tuple[float, float], ...]:
        """Directions during an integration, `along` from −½ (its start) to ½ (its end)."""
        centre = self.dump_directions_rad[dump]
        return tuple(direction_at(float(part) * self.step_rad, 0.0, *centre) for part in along)


@dataclass(frozen=True)
class Array:
    """The antennas: names, pads, ITRF positions (n, 3) in metres, and which have data."""

    names: tuple[str, ...]
    pads: tuple[str, ...]
    positions_m: NDArray[np.float64]
    active: tuple[int, ...]

    @cached_property
    def baselines(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Antenna numbers of all baselines with data, ANTENNA1 < ANTENNA2."""
        active = np.array(self.active, dtype=np.int32)
        first, second = np.triu_indices(len(active), 1)
        return active[first], active[second]

    @property
    def longest_baseline_m(self) -> float:
        """Length of the longest baseline with data."""
        first, second = self.baselines
        return float(np.linalg.norm(self.positions_m[first] - self.positions_m[second], axis=1).max())


def _named_position(ra_rad: float, dec_rad: float) -> tuple[str, float, float]:
    """VLASS name of a field, and the position (rad) that the name tells."""
    name = naming.format_field_name(math.degrees(ra_rad), math.degrees(dec_rad))
    position = naming.parse_field_position(name)
    assert position is not None, name
    return name, math.radians(position[0]), math.radians(position[1])


def pointings(parameters: FieldSimulation) -> tuple[Pointing, ...]:
    """Lay out the mosaic row by row, in the order of time; rows are scanned to and fro.

    Phase centres are rounded to what their names tell (0.1 s and 1″).
    """
    p = parameters
    row_s = p.fields_per_row * p.dumps_per_field * p.integration_s
    total_s = p.rows * row_s + (p.rows - 1) * p.row_gap_s
    start = _middle_mjd(p) * DAY_S - total_s / 2
    scan = p.first_scan
    result = []
    for row in range(p.rows):
        direction = 1 if row % 2 == 0 else -1
        row_offset = math.radians((row - (p.rows - 1) / 2) * p.row_spacing_arcmin / 60)
        for column in range(p.fields_per_row):
            index = row * p.fields_per_row + column
            along = direction * math.radians((column - (p.fields_per_row - 1) / 2) * p.field_step_arcmin / 60)
            dec = math.radians(p.dec_deg) + row_offset
            ra = math.radians(p.ra_deg) + along / math.cos(dec)
            name, ra, dec = _named_position(ra, dec)
            first = start + row * (row_s + p.row_gap_s) + column * p.dumps_per_field * p.integration_s
            numbers = range(p.dumps_per_field)
            step = direction * math.radians(p.field_step_arcmin / 60) / p.dumps_per_field
            centre = (p.dumps_per_field - 1) / 2
            result.append(
                Pointing(
                    field_id=p.first_field_id + index,
                    name=name,
                    scan=scan,
                    ra_rad=ra,
                    dec_rad=dec,
                    times_mjd_s=tuple(first + (dump + 0.5) * p.integration_s for dump in numbers),
                    dump_directions_rad=tuple(
                        direction_at((dump - centre) * step, 0.0, ra, dec) for dump in numbers
                    ),
                    step_rad=step,
                )
            )
        # Calibrator scans lie between some rows, so the numbers of the rows' scans jump by 3 or 4.
        scan += 3 if row % 2 == 0 else 4
    return tuple(result)


def empty_fields(parameters: FieldSimulation) -> list[tuple[str, float, float]]:
    """Name, right ascension and declination (rad) of the fields without data, 10° away.

    First those before the first field with data, then those after the last.
    """
    p = parameters
    dec = math.radians(p.dec_deg + (10.0 if p.dec_deg < 0 else -10.0))
    step = math.radians(p.field_step_arcmin / 60) / math.cos(dec)
    positions = (
        (math.radians(p.ra_deg) - 0.3 - number * step) % math.tau
        for number in range(p.first_field_id + p.later_fields)
    )
    return [_named_position(ra, dec) for ra in positions]


def _middle_mjd(parameters: FieldSimulation) -> float:
    """UTC of mid-observation: the first time after `start_mjd` at which the hour angle is as asked for."""
    wanted = math.radians(parameters.ra_deg + 15 * parameters.hour_angle_h)
    now = _sidereal_time(parameters.start_mjd) + VLA_LONGITUDE_RAD
    return parameters.start_mjd + ((wanted - now) % math.tau) / math.tau / _SIDEREAL_RATE


def ionospheric_rm_rad_m2(parameters: FieldSimulation, time_mjd_s: float) -> float:
    """Rotation measure of the ionosphere, less that which calibration took out: linear in time."""
    p = parameters
    if not p.ionospheric_rm_rate_rad_m2_h:
        return p.ionospheric_rm_rad_m2
    hours = (time_mjd_s - _middle_mjd(p) * DAY_S) / 3600
    return p.ionospheric_rm_rad_m2 + p.ionospheric_rm_rate_rad_m2_h * hours


def _sidereal_time(mjd: float) -> float:
    # Apparent, by erfa itself: independent of the mean sidereal time that the products are corrected with.
    tt1, tt2 = erfa.taitt(*erfa.utctai(JD_OF_MJD_ZERO, mjd))
    return float(erfa.gst06a(JD_OF_MJD_ZERO, mjd, tt1, tt2))


def array(parameters: FieldSimulation, seed: int) -> Array:
    """Choose the pads of the antennas from CASA's list of the configuration."""
    path = files("casadata") / "__data__" / "alma" / "simmos" / f"vla.{parameters.configuration}.cfg"
    if not path.is_file():
        raise CasaUnavailableError(f"CASA's data have no antenna list {path}", hint="Install casadata.")
    entries = [line.split() for line in path.read_text().splitlines() if line and not line.startswith("#")]
    rng = np.random.default_rng([seed, 1])
    chosen = sorted(rng.choice(len(entries), parameters.antennas, replace=False).tolist())
    missing = set(rng.choice(parameters.antennas, parameters.missing_antennas, replace=False).tolist())
    return Array(
        names=tuple(f"ea{number + 1:02d}" for number in range(parameters.antennas)),
        pads=tuple(entries[index][4] for index in chosen),
        positions_m=np.array([[float(value) for value in entries[index][:3]] for index in chosen]),
        active=tuple(number for number in range(parameters.antennas) if number not in missing),
    )


def _celestial(itrf: NDArray[np.float64], time_mjd_s: float) -> NDArray[np.float64]:
    """Turn terrestrial vectors (n, 3) into the celestial frame."""
    mjd = time_mjd_s / DAY_S
    tt = erfa.taitt(*erfa.utctai(JD_OF_MJD_ZERO, mjd))
    return np.asarray(itrf @ erfa.c2t06a(*tt, JD_OF_MJD_ZERO, mjd, 0.0, 0.0), dtype=np.float64)


def zenith_vector(time_mjd_s: float, ra_rad: float, dec_rad: float) -> NDArray[np.float64]:
    """Unit vector to the zenith of the array along east, north and towards a direction; shape (3,)."""
    up = np.array(
        [
            math.cos(VLA_LATITUDE_RAD) * math.cos(VLA_LONGITUDE_RAD),
            math.cos(VLA_LATITUDE_RAD) * math.sin(VLA_LONGITUDE_RAD),
            math.sin(VLA_LATITUDE_RAD),
        ]
    )
    vector: NDArray[np.float64] = uvw_m(up[None], time_mjd_s, ra_rad, dec_rad)[0]
    return vector


def parallactic_angle_rad(time_mjd_s: float, ra_rad: float, dec_rad: float) -> float:
    """Position angle of the zenith, north through east, at a direction."""
    east, north, _ = zenith_vector(time_mjd_s, ra_rad, dec_rad)
    return math.atan2(east, north)


def uvw_m(
    baselines_itrf_m: NDArray[np.float64], time_mjd_s: float, ra_rad: float, dec_rad: float
) -> NDArray[np.float64]:
    """Project ITRF baselines (n, 3) onto u, v, w of a J2000 direction; polar motion and UT1 − UTC are 0."""
    # The imager's tangent planes have no part in it, nor `vlasscube.sky`: it is what they are judged by.
    celestial = _celestial(baselines_itrf_m, time_mjd_s)
    east = np.array([-math.sin(ra_rad), math.cos(ra_rad), 0.0])
    source = np.array(
        [math.cos(dec_rad) * math.cos(ra_rad), math.cos(dec_rad) * math.sin(ra_rad), math.sin(dec_rad)]
    )
    north = np.cross(source, east)
    return np.stack([celestial @ east, celestial @ north, celestial @ source], axis=1)
