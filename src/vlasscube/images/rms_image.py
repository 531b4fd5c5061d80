"""The rms image of a CASA image: the map of each Stokes plane."""

from __future__ import annotations

from pathlib import Path

from vlasscube import casa
from vlasscube.images.casa_images import image_facts, read_plane
from vlasscube.images.derived_images import derived_image
from vlasscube.images.rms_map import STEP_PIXELS, WIDTH_ARCSEC, rms_map
from vlasscube.images.statistics import plane_statistics
from vlasscube.parameters.quantities import format_angle_arcsec
from vlasscube.processes.parallel import plane_threads
from vlasscube.records import PlaneStatistics


def write_rms_image(source: Path, target: Path) -> dict[str, PlaneStatistics]:
    """Make the rms image of a primary-beam corrected image.

    Parameters
    ----------
    source : Path
        CASA image with axes RA, Dec, Stokes, frequency.
    target : Path
        Image to make; what stands there is replaced once it is whole.

    Returns
    -------
    dict
        Statistics of the map, by Stokes parameter, Jy/beam.
    """
    call = casa.record_equivalent(
        "imdev",
        imagename=source.name,
        outfile=target.name,
        grid=[STEP_PIXELS, STEP_PIXELS],
        anchor="ref",
        xlength=format_angle_arcsec(WIDTH_ARCSEC),
        ylength=format_angle_arcsec(WIDTH_ARCSEC),
        interp="cubic",
        stattype="xmadm",
        statalg="chauvenet",
        zscore=-1,
        maxiter=-1,
    )
    facts = image_facts(source)
    statistics = {}
    with derived_image(target, source, masked=True, history=[call]) as add:
        for index, stokes in enumerate(facts.stokes):
            noise = rms_map(
                read_plane(source, index),
                facts.cell_arcsec,
                facts.reference_pixel,
                threads=plane_threads(),
            )
            add(noise)
            statistics[stokes] = plane_statistics(noise)
    return statistics
