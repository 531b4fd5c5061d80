"""A FITS product of a plane: what CASA exports, with the header that users and archives need.

Nothing is read or written here. `vlasscube.products.casa_export` reads the image before, and
`vlasscube.products.fits_files` writes the file after.
"""

from __future__ import annotations

from dataclasses import dataclass

from astropy.io import fits

from vlasscube import naming
from vlasscube.id_lists import format_ranges
from vlasscube.image_names import ImageIdentity
from vlasscube.products.common_beam import CommonBeamStep
from vlasscube.products.general_keywords import PlaneImaging, set_general_keywords
from vlasscube.products.header_beams import normalize_beams, set_single_beam, without_beam
from vlasscube.products.headers import (
    VlassKeywords,
    add_history,
    fix_header,
    set_file_name_keywords,
    set_outcome,
    set_rest_frequency,
    set_vlass_keywords,
    tidy_header,
    vlass_image_type,
)
from vlasscube.products.position_correction import (
    PositionCorrection,
    apply_position_correction,
    tell_of_regridding,
)
from vlasscube.records import Outcome


@dataclass(frozen=True)
class ProductField:
    """What the headers of all products of a field have in common."""

    identity: ImageIdentity
    """Object, tile, epoch and version."""
    phasecenter: str
    start_mjd_s: float
    """Start of the first scan, MJD in seconds (UTC)."""
    end_mjd_s: float
    """End of the last scan."""


@dataclass(frozen=True)
class ProductPlane:
    """What the headers of all products of a plane have in common."""

    outcome: Outcome
    reason: str
    imaging: PlaneImaging
    nominal_bandwidth_hz: float
    median_rms_jy: float | None
    """Median of the rms image of Stokes I, Jy/beam."""
    peak_jy: float | None
    """Maximum of the primary-beam corrected image of Stokes I, Jy/beam."""
    position: PositionCorrection
    mean_mjd_s: float | None = None
    """Mean time of the data by their weights, MJD in seconds (UTC); None: not recorded."""


def fits_product(
    exported: fits.HDUList,
    casa_name: str,
    stokes: str,
    field: ProductField,
    plane: ProductPlane,
    common: CommonBeamStep | None = None,
) -> tuple[fits.HDUList, tuple[str, ...]]:
    """Make a product of an exported image.

    Parameters
    ----------
    exported : HDUList
        The image as CASA exports it, axes RA, Dec, FREQ, STOKES; for a member of the common-beam set smoothed
        and regridded already. Neither its headers nor its pixels are changed.
    casa_name : str
        Name of the CASA image with the Stokes parameters in it, with the stage prefix.
    stokes : str
        E.g. ``'IQU'``.
    field : ProductField
        The observation.
    plane : ProductPlane
        The plane, with the position correction for its frequency.
    common : CommonBeamStep, optional
        What was done for the common-beam set; without it the product is the native one. Images of the primary
        beam are only regridded for it.

    Returns
    -------
    product : HDUList
        Legal FITS; the pixels are those of `exported`, not copied.
    warnings : tuple of str
        What the header lacks or what had to be mended in it.

    Raises
    ------
    ProductError
        If the beams are unusable, or the reference position is not the one that the correction is for.
    """
    # A new HDU has a header of its own.
    primary = fits.PrimaryHDU(exported[0].data, exported[0].header)
    header, product = primary.header, fits.HDUList([primary, *exported[1:]])
    name, imaging = naming.parse_product_name(naming.fits_name(casa_name)), plane.imaging
    if name.kind == "pb":
        product = without_beam(product)
    else:
        product = normalize_beams(product) if common is None else set_single_beam(product, common.beam)
    # A regridded image has the nominal position: its pixels have been moved instead.
    if common is not None and common.regrid and not plane.position.w_corrected:
        tell_of_regridding(header, plane.position)
    else:
        apply_position_correction(header, plane.position)
    notes: tuple[str, ...] = ()
    if set_rest_frequency(header, imaging.frequency_hz):
        notes = ("there is no usable rest frequency: RESTFRQ is the frequency of the plane",)
    identity = field.identity
    fix_header(
        header,
        start_mjd_s=field.start_mjd_s,
        end_mjd_s=field.end_mjd_s,
        object_name=identity.object_name,
        mean_mjd_s=plane.mean_mjd_s,
    )
    warnings = set_vlass_keywords(
        header,
        VlassKeywords(
            image_type=vlass_image_type(casa_name),
            tile=identity.tile,
            phase_center=field.phasecenter,
            epoch=identity.epoch,
            version=identity.version,
            stokes=stokes,
            rejected=plane.outcome is Outcome.REJECTED,
            spw=format_ranges(imaging.spw_ids),
            nominal_bandwidth_hz=plane.nominal_bandwidth_hz,
            unflagged_bandwidth_hz=imaging.unflagged_bandwidth_hz,
            w_planes=imaging.w_planes,
            median_rms_jy=plane.median_rms_jy,
            peak_jy=plane.peak_jy,
        ),
        # Said once for all products, where the names are known.
        may_lack=("tile", "epoch", "version"),
    )
    set_outcome(header, plane.outcome, plane.reason)
    set_general_keywords(header, name, imaging, primary.data)
    set_file_name_keywords(header, casa_name)
    mended = tidy_header(header)
    for line in imaging.history:
        add_history(header, line)
    if common is not None:
        add_history(header, f"Common-beam set: {'; '.join(common.reasons)}")
    return product, (*notes, *warnings, *mended)
