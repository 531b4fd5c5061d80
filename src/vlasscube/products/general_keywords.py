"""Keywords that say how any image of the pipeline was made, as the archive's images have them.

Left out are those that mean nothing outside the archive: GROUP, MEMBER and SGOAL (identifiers of a proposal),
PER_EB and SPWISVRT (all data are of one measurement set, whose spectral windows keep their numbers).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from vlasscube import naming
from vlasscube.id_lists import format_ranges
from vlasscube.images.statistics import scaled_mad
from vlasscube.products.headers import (
    EFFECTIVE_BANDWIDTH,
    EFFECTIVE_FREQUENCY,
    MEAN_LAMBDA2,
    CardValue,
    set_value,
)
from vlasscube.products.imaging_history import ImagingSetup
from vlasscube.records import NoncoplanarEffect, SpectralCoverage

_MOST_NAMES = 99
"""SPWNAM99 has the eight characters of a keyword."""

Card = tuple[str, CardValue | None, str]
"""Keyword, value (None: left out) and comment."""


@dataclass(frozen=True)
class PlaneImaging:
    """How a plane was imaged, as the headers of all its products say it."""

    setup: ImagingSetup
    casa_version: str
    project: str
    """Project code of the observation; ``''`` if there is none."""
    spw_ids: tuple[int, ...]
    spw_names: tuple[str, ...]
    field_ids: tuple[int, ...]
    robust: float
    frequency_hz: float
    """Reference value of the frequency axis."""
    unflagged_bandwidth_hz: float
    coverage: SpectralCoverage | None
    w_planes: int
    """Planes of w that the data were gridded with, 0 without w-correction."""
    noncoplanar: NoncoplanarEffect | None = None
    history: tuple[str, ...] = ()
    """Lines of `vlasscube.products.imaging_history`."""


def set_general_keywords(
    header: fits.Header, product: naming.ProductName, imaging: PlaneImaging, data: npt.NDArray[np.float32]
) -> None:
    """Set the general keywords of a product.

    Parameters
    ----------
    header : Header
        Changed in place. A value that is not known, or that FITS cannot state, is left out.
    product : ProductName
        Name of the product.
    imaging : PlaneImaging
        How its plane was imaged.
    data : ndarray, shape (stokes, 1, ny, nx)
        Its pixels, for DATAMIN, DATAMAX and DATARMS.
    """
    for keyword, value, comment in (
        *_data_cards(product, imaging),
        *_frequency_cards(imaging),
        *_imaging_cards(product, imaging),
        *_pixel_cards(product, data),
    ):
        if value is not None and value != "":
            set_value(header, keyword, value, comment)


def _data_cards(product: naming.ProductName, imaging: PlaneImaging) -> Iterator[Card]:
    spws = format_ranges(imaging.spw_ids)
    yield "PROPCODE", imaging.project, "Project code"
    yield "DATATYPE", "corrected", "Data column that was imaged"
    yield "INTENT", "TARGET", "Intent of the scans"
    yield "SPW", spws, "Spectral windows"
    yield "VIRTSPW", spws, "Spectral windows, as numbered in the run"
    for number, name in enumerate(imaging.spw_names[:_MOST_NAMES], start=1):
        yield f"SPWNAM{number:02d}", name, "Name of a spectral window"
    yield "NSPWNAM", min(len(imaging.spw_names), _MOST_NAMES), "Number of SPWNAM keywords"
    yield "FIELD", format_ranges(imaging.field_ids), "Fields (pointings)"
    yield "NFIELD", len(imaging.field_ids), "Number of fields (pointings)"
    yield "NPOL", len(product.stokes), "Number of Stokes parameters"
    yield "STOKES", product.stokes, "Stokes parameters"


def _frequency_cards(imaging: PlaneImaging) -> Iterator[Card]:
    coverage = imaging.coverage
    yield "CTRFRQ", imaging.frequency_hz, "[Hz] middle of the spectral windows"
    if coverage is None:
        yield EFFECTIVE_BANDWIDTH, imaging.unflagged_bandwidth_hz, "[Hz] bandwidth not flagged"
        return
    yield EFFECTIVE_FREQUENCY, coverage.effective_frequency_hz, "[Hz] mean by imaging weights, topocentric"
    yield MEAN_LAMBDA2, coverage.mean_lambda2_m2, "[m2] mean lambda^2 by imaging weights"
    yield EFFECTIVE_BANDWIDTH, coverage.effective_bandwidth_hz, "[Hz] (sum W)^2 / sum(W^2/width), W weight"


def _imaging_cards(product: naming.ProductName, imaging: PlaneImaging) -> Iterator[Card]:
    setup = imaging.setup
    yield "TYPE", product.kind + (".rms" if product.rms else ""), "Type of image"
    yield "ITER", product.iteration, "Clean iteration"
    yield "SPECMODE", "cont", "One channel per plane (mfs)"
    yield "WEIGHT", "briggs", "Weighting of the visibilities"
    yield "ROBUST", imaging.robust, "Briggs' robust parameter"
    yield "ENGINE", setup.engine, "Imaging engine"
    yield "GRIDDING", setup.gridding, "Convolution functions"
    yield "WCORR", setup.w_correction, "Whether w was corrected for"
    effect = imaging.noncoplanar
    if effect is not None:
        yield "NCPPEAK", effect.peak_fraction, "Point-source peak left without w-terms, median"
        yield "NCPWORST", effect.worst_peak_fraction, "The same, at the worst place of pb >= 0.5"
        yield "NCPDRA", effect.shift_east_arcsec, "[arcsec] mean shift by w-terms, east, expected"
        yield "NCPDDEC", effect.shift_north_arcsec, "[arcsec] mean shift by w-terms, north"
    yield "PROFILE", setup.profile, "Named set of options"
    yield "PIPEVER", f"vlasscube {setup.version}", "Version of the pipeline"
    yield "CASAVER", imaging.casa_version, "Version of CASA"


def _pixel_cards(product: naming.ProductName, data: npt.NDArray[np.float32]) -> Iterator[Card]:
    extremes = []
    for part in data.reshape(-1, *data.shape[-2:]):
        plane = np.asarray(part, dtype=np.float32)
        good = plane[np.isfinite(plane)]
        if good.size:
            extremes += [float(good.min()), float(good.max())]
    if not extremes:
        return
    yield "DATAMIN", min(extremes), "Smallest pixel"
    yield "DATAMAX", max(extremes), "Largest pixel"
    if product.kind != "pb":
        first = np.asarray(data.reshape(-1, *data.shape[-2:])[0], dtype=np.float32)
        yield "DATARMS", scaled_mad(first), f"1.4826 MAD of the pixels, Stokes {product.stokes[:1]}"
