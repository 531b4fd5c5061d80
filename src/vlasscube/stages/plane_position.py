"""Where a plane's images are and where they should be, for the stages that compare planes."""

from __future__ import annotations

from vlasscube.constants import DAY_S
from vlasscube.measurement_set.selection import middle_of_observation_mjd_s
from vlasscube.products.position_correction import PositionCorrection, position_correction
from vlasscube.recipe import EDIT_IMAGE_LIST_CUBE, IMPORT_DATA, TRANSFORM_IMAGE_DATA
from vlasscube.results.reading import InputSource
from vlasscube.results.types import observed_scans
from vlasscube.sky import parse_phasecenter


def plane_position(source: InputSource, frequency_hz: float) -> PositionCorrection:
    """Return the position correction of a plane.

    Parameters
    ----------
    source : InputSource
        Records of the run.
    frequency_hz : float
        Frequency of the plane's images.
    """
    ra, dec, _ = parse_phasecenter(source.result(EDIT_IMAGE_LIST_CUBE).geometry.phasecenter)
    scans = observed_scans(source.result(TRANSFORM_IMAGE_DATA), source.result(IMPORT_DATA))
    middle = middle_of_observation_mjd_s(scans) / DAY_S
    options = source.options
    return position_correction(
        ra, dec, frequency_hz, middle, latitude=options.latitude, w_corrected=options.w_correction
    )
