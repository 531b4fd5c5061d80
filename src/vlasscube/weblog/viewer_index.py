"""What the viewer is told of a run: planes, images, coordinates, source stamps."""

from __future__ import annotations

from typing import Any

from vlasscube.constants import ARCSEC_PER_DEG
from vlasscube.errors import QuantityError
from vlasscube.recipe import ANALYZE_STOKES_CUBES, EXPORT_VLASS_DATA, MAKE_CUTOUT_IMAGES
from vlasscube.records import ImageGeometry, PixelBox
from vlasscube.results.run_records import PlaneState
from vlasscube.sky import parse_phasecenter
from vlasscube.weblog.previews import DIRECTORY
from vlasscube.weblog.shown_images import CUBE, CUBE_RMS, frame_of
from vlasscube.weblog.site import Site
from vlasscube.weblog.source_stamps import read_source_stamps

_FIRST_KINDS = (CUBE, "cutout.residual_pbcor", CUBE_RMS, "pbcor", "residual_pbcor", "rms")
"""Shown before the others, which follow by name, the latest iteration first."""


def viewer_index(site: Site) -> dict[str, Any]:
    """Describe all images that the viewer can show.

    Parameters
    ----------
    site : Site
        The rendering under way.

    Returns
    -------
    dict
        ``image_name``, ``planes``, ``kinds``, ``frames`` and ``sources``; positions in degrees, pixels
        counted from 0.
    """
    run = site.run
    corrected = _reference_positions(site)
    planes = [_plane(site, state, corrected.get(state.label)) for state in run.plane_states()]
    titles = {
        kind: picture.preview.title
        for state in run.plane_states()
        for (kind, _), picture in site.pictures(state.label).items()
    }
    kinds = sorted(titles, key=_place)
    return {
        "image_name": run.plan.image_name if run.plan else "",
        "planes": planes,
        "kinds": {kind: {"title": titles[kind], "frame": frame_of(kind)} for kind in kinds},
        "frames": _frames(site),
        "sources": _sources(site),
    }


def _reference_positions(site: Site) -> dict[str, list[float]]:
    """Corrected sky positions of the reference pixel by plane label, as products have or will have them."""
    exported = site.run.result(EXPORT_VLASS_DATA)
    if exported is not None:
        return {plane.label: [plane.crval1_deg, plane.crval2_deg] for plane in exported.planes}
    analysis = site.run.result(ANALYZE_STOKES_CUBES)
    known = analysis.reference_positions_deg if analysis is not None else None
    return {label: list(position) for label, position in (known or {}).items()}


def _plane(site: Site, state: PlaneState, crval_deg: list[float] | None) -> dict[str, Any]:
    images: dict[str, dict[str, str]] = {}
    for (kind, stokes), picture in site.pictures(state.label).items():
        images.setdefault(kind, {})[stokes] = f"{DIRECTORY}/{state.label}/{picture.preview.data}"
    return {
        "label": state.label,
        "spw": state.spw,
        "frequency_hz": state.frequency_hz,
        "outcome": state.outcome,
        "word": state.word,
        "crval_deg": crval_deg,
        "images": images,
    }


def _place(kind: str) -> tuple[int, int, str]:
    if kind in _FIRST_KINDS:
        return 0, _FIRST_KINDS.index(kind), kind
    iteration, dot, rest = kind.partition(".")
    if dot and iteration.startswith("iter"):
        return 2, -int(iteration.removeprefix("iter")), rest
    return 1, 0, kind


def _frames(site: Site) -> dict[str, Any]:
    """Coordinates of the pixels of images and cutouts, SIN projection."""
    plan = site.run.plan
    if plan is None:
        return {}
    try:
        ra_deg, dec_deg, system = parse_phasecenter(plan.geometry.phasecenter)
    except QuantityError:
        return {}
    geometry, position = plan.geometry, (ra_deg, dec_deg)
    boxes = (site.run.result(MAKE_CUTOUT_IMAGES, target.label) for target in site.run.targets)
    # The same for all planes.
    box = next((result.box for result in boxes if result is not None), None)
    whole = _frame(geometry, position, system, PixelBox(0, 0, geometry.nx - 1, geometry.ny - 1))
    return {"image": whole, "cutout": _frame(geometry, position, system, box) if box else None}


def _frame(
    geometry: ImageGeometry, position_deg: tuple[float, float], system: str, box: PixelBox
) -> dict[str, Any]:
    cell_deg = geometry.cell_arcsec / ARCSEC_PER_DEG
    return {
        # CASA's images have their reference in the middle.
        "crpix": [geometry.nx // 2 - box.blc_x, geometry.ny // 2 - box.blc_y],
        "crval_deg": list(position_deg),
        "cdelt_deg": [-cell_deg, cell_deg],
        "system": system,
    }


def _sources(site: Site) -> list[dict[str, Any]]:
    record = site.run.step(ANALYZE_STOKES_CUBES).record
    stamps = read_source_stamps(site.workspace, record.key) if record is not None else ()
    return [
        {
            "name": stamp.name,
            "file": stamp.file,
            "box": [stamp.box.blc_x, stamp.box.blc_y, stamp.box.trc_x, stamp.box.trc_y],
            "peak": [stamp.peak_x, stamp.peak_y],
        }
        for stamp in stamps
        if (site.workspace.weblog / stamp.file).is_file()
    ]
