"""CASA images of the mosaic engine, with the headers, units, masks and beams that tclean gives its own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vlasscube import casacore_tables
from vlasscube.constants import DAY_S
from vlasscube.errors import ImagingError
from vlasscube.mosaic.visibilities import ObservationInfo, Visibilities
from vlasscube.naming import TcleanProduct
from vlasscube.records import STOKES, Beam, ImageGeometry
from vlasscube.sky import direction_at, parse_phasecenter, rad_from_arcsec
from vlasscube.workspace.files import discard, publish, remove

_UNITS: dict[str, str] = {"image": "Jy/beam", "model": "Jy/pixel"}
_SAYS_WEIGHT_IMAGE = frozenset({"image", "model", "pb", "mask", "sumwt"})
"""Images that say in their miscinfo that there is a weight image; tclean reads it from the sumwt."""
_OBSERVATORIES = {
    "EVLA": (-1.8782884344112576, 0.5916753430723376, 6373580.000000001),
    "VLA": (-1.8782942581394362, 0.5916750987501983, 6373576.280915651),
}
"""Geocentric longitude and latitude (rad) and distance (m), ITRF, from CASA's table of observatories."""


@dataclass(frozen=True)
class ImageHeader:
    """What the images of a plane have in common."""

    geometry: ImageGeometry
    reference_frequency_hz: float
    """Frequency of the only channel, LSRK."""
    channel_width_hz: float
    rest_frequency_hz: float
    observation: ObservationInfo


def image_header(geometry: ImageGeometry, reffreq_hz: float, visibilities: Visibilities) -> ImageHeader:
    """Return the header that tclean (specmode 'mfs') would give to the images.

    Parameters
    ----------
    geometry : ImageGeometry
        Size, pixel and centre.
    reffreq_hz : float
        The frequency asked for; it becomes the reference value, LSRK, whatever the data are at.
    visibilities : Visibilities
        Their frequency range gives the width of the channel.

    Notes
    -----
    The channel is centred on the reference frequency and just wide enough to hold all data.
    """
    low, high = visibilities.lsrk_range_hz
    middle = (low + high) / 2
    return ImageHeader(
        geometry=geometry,
        reference_frequency_hz=reffreq_hz,
        channel_width_hz=high - low + 2 * abs(reffreq_hz - middle),
        rest_frequency_hz=visibilities.rest_frequency_hz or middle,
        observation=visibilities.observation,
    )


def write_mosaic_image(
    path: Path,
    kind: TcleanProduct,
    header: ImageHeader,
    planes: Iterable[npt.NDArray[np.float32]],
    *,
    mask: npt.NDArray[np.bool_] | None = None,
    beams: Sequence[Beam] = (),
    history: Sequence[str] = (),
) -> None:
    """Write an image, replacing what stands there once the new one is whole.

    Parameters
    ----------
    path : Path
        Path of the image; the name is free, `kind` decides what it is.
    kind : str
        E.g. ``'residual'``. A sum of weights has planes of one pixel.
    header : ImageHeader
        From `image_header`.
    planes : iterable of ndarray of float32, shape (ny, nx)
        I, Q, U, V; may be a generator, so that only one plane is in memory.
    mask : ndarray of bool, shape (ny, nx), optional
        True where the pixels of all planes are good. Of tclean's images, residual and pb have a mask (pb
        above the limit; both are 0 elsewhere) and the others have none.
    beams : sequence of Beam
        None, one for all planes (image), or one for each (psf).
    history : sequence of str
        Lines for the image's log, which become HISTORY in FITS.

    Raises
    ------
    ImagingError
        If number or shape of the planes, the mask or the beams do not fit.
    """
    size = (1, 1) if kind == "sumwt" else (header.geometry.ny, header.geometry.nx)
    if len(beams) not in (0, 1, len(STOKES)):
        raise ImagingError(f"{path.name}: {len(beams)} beams for {len(STOKES)} planes")
    if mask is not None and mask.shape != size:
        raise ImagingError(f"{path.name}: a mask of shape {mask.shape} for planes of shape {size}")
    telescope = header.observation.telescope
    keywords: dict[str, Any] = {
        "imageinfo": _image_info(header, beams),
        "miscinfo": {"INSTRUME": telescope, "distance": 0.0}
        | ({"useweightimage": True} if kind in _SAYS_WEIGHT_IMAGE else {}),
    }
    if kind in _UNITS:
        keywords["units"] = _UNITS[kind]
    partial = path.with_name(f"{path.name}.partial")
    remove(partial)
    try:
        casacore_tables.write_image(
            partial,
            _checked(path, planes, size),
            (1, len(STOKES), *size),
            coordinates=coordinate_record(header),
            keywords=keywords,
            mask=mask,
            history=history,
        )
    except BaseException as error:
        discard(partial)
        if isinstance(error, (RuntimeError, OSError)):
            raise ImagingError(
                f"{path.name} cannot be written: {error}", hint="The disk may be full, or a quota exceeded."
            ) from error
        raise
    publish(partial, path)


def _checked(
    path: Path, planes: Iterable[npt.NDArray[np.float32]], size: tuple[int, int]
) -> Iterator[npt.NDArray[np.float32]]:
    count = 0
    for plane in planes:
        count += 1
        if count > len(STOKES) or plane.shape != size:
            break
        yield np.ascontiguousarray(plane, dtype=np.float32)
    else:
        if count == len(STOKES):
            return
    raise ImagingError(
        f"{path.name}: plane {count} of shape {plane.shape if count else ()}, expected 4 of {size}"
    )


def _image_info(header: ImageHeader, beams: Sequence[Beam]) -> dict[str, Any]:
    info: dict[str, Any] = {"imagetype": "Intensity", "objectname": header.observation.object_name}
    records = [
        {
            "major": {"value": beam.bmaj_arcsec, "unit": "arcsec"},
            "minor": {"value": beam.bmin_arcsec, "unit": "arcsec"},
            "positionangle": {"value": beam.bpa_deg, "unit": "deg"},
        }
        for beam in beams
    ]
    if len(records) == 1:
        info["restoringbeam"] = records[0]
    elif records:
        info["perplanebeams"] = {"nChannels": 1, "nStokes": len(records)} | {
            f"*{number}": record for number, record in enumerate(records)
        }
    return info


# --------------------------------------------------------------------------------------------- coordinates


def coordinate_record(header: ImageHeader) -> dict[str, Any]:
    """Return the coordinate system as CASA stores it: directions (SIN), Stokes IQUV, frequency (LSRK)."""
    geometry, observation = header.geometry, header.observation
    ra_deg, dec_deg, frame = parse_phasecenter(geometry.phasecenter)
    ra, dec = math.radians(ra_deg), math.radians(dec_deg)
    cell = rad_from_arcsec(geometry.cell_arcsec)
    pixel = (float(geometry.nx // 2), float(geometry.ny // 2))
    corner_ra, corner_dec = direction_at(pixel[0] * cell, -pixel[1] * cell, ra, dec)
    return {
        "telescope": observation.telescope,
        "observer": observation.observer,
        "obsdate": {
            "type": "epoch",
            "refer": "UTC",
            # Not divided by the day: CASA multiplies, and the last digit shows in FITS headers.
            "m0": {"value": observation.start_mjd_s * (1 / DAY_S), "unit": "d"},
        },
        "pointingcenter": {"value": np.array([math.remainder(ra, 2 * math.pi), dec]), "initial": False},
        "telescopeposition": _position_record(observation),
        "direction0": {
            "system": frame,
            "projection": "SIN",
            "projection_parameters": np.zeros(2),
            "crval": np.array([ra, dec]),
            "crpix": np.array(pixel),
            "cdelt": np.array([-cell, cell]),
            "pc": np.identity(2),
            "axes": ["Right Ascension", "Declination"],
            "units": ["rad", "rad"],
            "conversionSystem": frame,
            "longpole": 180.0,
            "latpole": dec_deg,
        },
        "stokes1": {
            "axes": ["Stokes"],
            "stokes": list(STOKES),
            "crval": np.ones(1),
            "crpix": np.zeros(1),
            "cdelt": np.ones(1),
            "pc": np.identity(1),
        },
        "spectral2": _spectral_record(header),
    } | _axes_record((corner_ra % (2 * math.pi), corner_dec), header.reference_frequency_hz)


def _position_record(observation: ObservationInfo) -> dict[str, Any]:
    if observation.telescope in _OBSERVATORIES:
        longitude, latitude, distance = _OBSERVATORIES[observation.telescope]
    else:
        x, y, z = np.mean(observation.antenna_position_m, axis=0)
        longitude, latitude = math.atan2(y, x), math.atan2(z, math.hypot(x, y))
        distance = math.sqrt(x * x + y * y + z * z)
    return _measure("position", "ITRF", (longitude, "rad"), (latitude, "rad"), (distance, "m"))


def _measure(kind: str, frame: str, *values: tuple[float, str]) -> dict[str, Any]:
    quantities = {f"m{number}": {"value": value, "unit": unit} for number, (value, unit) in enumerate(values)}
    return {"type": kind, "refer": frame, **quantities}


def _spectral_record(header: ImageHeader) -> dict[str, Any]:
    return {
        "version": 2,
        "system": "LSRK",
        "restfreq": header.rest_frequency_hz,
        "restfreqs": np.array([header.rest_frequency_hz]),
        "velType": 0,
        "nativeType": 0,
        "velUnit": "km/s",
        "waveUnit": "mm",
        "formatUnit": "",
        "wcs": {
            "crval": header.reference_frequency_hz,
            "crpix": 0.0,
            "cdelt": header.channel_width_hz,
            "pc": 1.0,
            "ctype": "FREQ",
        },
        "unit": "Hz",
        "name": "Frequency",
        # Frequencies are LSRK already; CASA writes a conversion that does nothing.
        "conversion": {
            "direction": _measure("direction", "J2000", (0.0, "rad"), (math.pi / 2, "rad")),
            "position": _measure("position", "ITRF", (0.0, "rad"), (0.0, "rad"), (0.0, "m")),
            "epoch": _measure("epoch", "LAST", (0.0, "d")),
            "system": "LSRK",
        },
    }


def _axes_record(corner: tuple[float, float], frequency_hz: float) -> dict[str, Any]:
    record: dict[str, Any] = {}
    # What stands for an axis that is taken away: its first pixel.
    replacements = (np.array(corner), np.ones(1), np.array([frequency_hz]))
    axes = (np.array([0, 1], np.int32), np.array([2], np.int32), np.array([3], np.int32))
    for number, (world, axis) in enumerate(zip(replacements, axes, strict=True)):
        record |= {
            f"worldmap{number}": axis,
            f"worldreplace{number}": world,
            f"pixelmap{number}": axis,
            f"pixelreplace{number}": np.zeros(axis.size),
        }
    return record
