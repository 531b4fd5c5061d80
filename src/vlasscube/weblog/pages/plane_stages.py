"""Pages of stages 7 to 10, which are done for each plane, and the page of a single plane."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from vlasscube import naming
from vlasscube.mosaic.noncoplanar import spectral_index_bias
from vlasscube.options import RunOptions
from vlasscube.recipe import GATHER_PLANES, MAKE_CUTOUT_IMAGES, MAKE_RMS_IMAGES, PBCOR, RECIPE, Stage
from vlasscube.records import STOKES, Iteration, PlaneImages, PlaneStatistics
from vlasscube.results.run_records import PlaneState
from vlasscube.results.types import NOISE_RATIO_BOUNDS, CutoutResult, PlaneVerdict
from vlasscube.weblog import formats
from vlasscube.weblog.course_plot import CoursePlot, course_plot
from vlasscube.weblog.pages.noise import noise_figure, ratio_cell
from vlasscube.weblog.shading import Cell, below, outliers
from vlasscube.weblog.site import FigureLink, Link, PictureLink, Site

if TYPE_CHECKING:
    from matplotlib.figure import Figure


ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class PlaneBlock:
    """A plane on the page of stage 7."""

    state: PlaneState
    images: PlaneImages | None
    iterations: tuple[Iteration, ...]
    """Those with images."""
    attempted: tuple[Iteration, ...]
    """And one that diverged."""
    course: CoursePlot | None
    pictures: dict[tuple[str, str], PictureLink]
    image_file: str
    """Name of the final restored image, ``''`` without one."""
    image_kind: str
    """Kind of the pictures of that image."""


@dataclass(frozen=True)
class Row:
    """A table row of a plane."""

    state: PlaneState
    cells: list[Cell]


def make_images(site: Site) -> dict[str, Any]:
    """All planes: outcomes, course of the clean, pictures and numbers of each Stokes parameter."""
    return {
        "stokes": STOKES,
        "blocks": [_block(site, state) for state in site.run.plane_states()],
        "figure": _plane_summary(site),
        "noise": _noise_rows(site),
        "noise_bounds": NOISE_RATIO_BOUNDS,
        "alpha_bias": _alpha_bias(site),
    }


def _alpha_bias(site: Site) -> float | None:
    """Bias of spectral indices that is expected of leaving w out; None if there is none, or not known."""
    found = [site.run.images(state.label) for state in site.run.plane_states()]
    losses = [(images.frequency_hz, images.noncoplanar) for images in found if images is not None]
    known = [(frequency, effect.peak_fraction) for frequency, effect in losses if effect is not None]
    if all(fraction == 1 for _, fraction in known):
        return None
    return spectral_index_bias(*zip(*known, strict=True))


def _block(site: Site, state: PlaneState) -> PlaneBlock:
    images = site.run.images(state.label)
    root = images.last_root if images else ""
    iterations = site.run.iterations(state.label)
    return PlaneBlock(
        state=state,
        images=images,
        iterations=iterations,
        attempted=images.attempted if images else iterations,
        course=course_plot(images) if images else None,
        pictures=site.pictures(state.label),
        image_file=naming.tclean_product(root, "image") if root else "",
        image_kind=f"iter{images.last.number}.image" if images else "",
    )


def _noise_rows(site: Site) -> list[Row]:
    """Expected noise of each plane, and the residual's over it by Stokes parameter."""
    rows = []
    for state in site.run.plane_states():
        images = site.run.images(state.label)
        if images is not None and images.expected_noise_jy is not None:
            cells = [ratio_cell(stokes, images.noise_ratio(stokes)) for stokes in STOKES]
            rows.append(Row(state, [Cell(formats.mjy(images.expected_noise_jy)), *cells]))
    return rows


def _plane_summary(site: Site) -> FigureLink | None:
    verdicts: list[PlaneVerdict] = list(site.run.verdicts.values())
    if not verdicts:
        return None
    options = site.run.options or RunOptions()

    def draw() -> Figure:
        from vlasscube.weblog.figures import plane_summary

        return plane_summary(verdicts, options.reject_beam_deviation, options.reject_beam_flag_fraction)

    return site.figure(
        "plane-summary",
        site.keys(GATHER_PLANES),
        f"Beam axes against frequency and flagged fraction of {len(verdicts)} planes.",
        "Above: beam axes against frequency, with the size expected from the reference plane and the "
        f"deviation ({options.reject_beam_deviation:.0%}) from which a plane can be rejected. Below: flagged "
        "fraction over the fields of the central square degree.",
        draw,
    )


# ------------------------------------------------------------------------------------------- pbcor and rms


def pbcor(site: Site) -> dict[str, Any]:
    """Statistics, pictures and primary-beam response of each plane."""
    planes = []
    for state in site.run.plane_states():
        result = site.run.result(PBCOR, state.label)
        if result is not None:
            planes.append((state, result, site.pictures(state.label)))
    return {"planes": planes, "stokes": STOKES}


RMS_COLUMNS = ("max", "min", "mean", "median", "sigma", "madrms")


def make_rms_images(site: Site) -> dict[str, Any]:
    """Statistics of the rms images, one row per plane, outliers shaded."""
    results = _results(site, MAKE_RMS_IMAGES)
    columns = [
        outliers([getattr(r.statistics.get(stokes), name, None) for _, r in results], formats.mjy)
        for stokes in STOKES
        for name in RMS_COLUMNS
    ]
    return {
        "stokes": STOKES,
        "columns": RMS_COLUMNS,
        "rows": _rows([state for state, _ in results], columns),
        "pictures": [(state, site.pictures(state.label)) for state, _ in results],
    }


def _results(site: Site, stage: Stage[ResultT]) -> list[tuple[PlaneState, ResultT]]:
    found = ((state, site.run.result(stage, state.label)) for state in site.run.plane_states())
    return [(state, result) for state, result in found if result is not None]


def _rows(states: list[PlaneState], columns: list[list[Cell]]) -> list[Row]:
    return [Row(state, [column[index] for column in columns]) for index, state in enumerate(states)]


# ------------------------------------------------------------------------------------------------- cutouts


def make_cutout_images(site: Site) -> dict[str, Any]:
    """Statistics of the cutouts by Stokes parameter, and the noise spectra."""
    results = _results(site, MAKE_CUTOUT_IMAGES)
    image_noise = {state.label: _noise_of(result, "image", "madrms") for state, result in results}
    rms_noise = {state.label: _noise_of(result, "rms", "median") for state, result in results}
    figures = []
    if results:
        figures = [
            noise_figure(
                site,
                "image-noise",
                "Scaled MAD of the restored image (not corrected)",
                image_noise,
                corrected=False,
            ),
            noise_figure(site, "rms-median", "Median of the rms image", rms_noise, corrected=True),
        ]
    return {
        "stokes": STOKES,
        "blocks": [(stokes, _cutout_rows(site, results, stokes)) for stokes in STOKES] if results else [],
        "box": results[0][1].box if results else None,
        "figures": figures,
        "noise_bounds": NOISE_RATIO_BOUNDS,
        "pictures": [(state, site.pictures(state.label)) for state, _ in results],
    }


def _noise_of(result: CutoutResult, image: str, item: str) -> dict[str, float | None]:
    return {stokes: getattr(getattr(s, image), item) for stokes, s in result.statistics.items()}


def _cutout_rows(site: Site, results: list[tuple[PlaneState, CutoutResult]], stokes: str) -> list[Row]:
    """Rows of one Stokes parameter; those of I also tell beam and primary beam."""
    statistics = [result.statistics.get(stokes) for _, result in results]

    def column(image: str, value: Callable[[PlaneStatistics], float | None]) -> list[float | None]:
        return [value(getattr(s, image)) if s is not None else None for s in statistics]

    mjy, ratio = partial(formats.mjy, places=3), partial(formats.fixed, places=1)
    columns = []
    for image in ("image", "residual"):
        columns += [
            outliers(column(image, lambda s: s.peak), mjy, absolute=True),
            outliers(column(image, lambda s: s.madrms), mjy, only_high=True),
            outliers(column(image, lambda s: s.max_over_madrms), ratio, absolute=True),
        ]
    columns += [
        [_expected_cell(site, state.label, result) for state, result in results],
        [ratio_cell(stokes, result.noise_ratio.get(stokes)) for _, result in results],
        outliers(column("rms", lambda s: s.max), mjy),
        outliers(column("rms", lambda s: s.median), mjy, only_high=True),
        [_low_noise_cell(s.rms_fraction_below_800ujy if s else None) for s in statistics],
    ]
    if stokes == "I":
        beams = [state.beam for state, _ in results]
        columns += [
            outliers(
                [s.rms_masked_fraction if s else None for s in statistics], formats.percent, only_high=True
            ),
            [Cell(formats.fixed(beam.bmaj_arcsec if beam else None)) for beam in beams],
            [Cell(formats.fixed(beam.bmin_arcsec if beam else None)) for beam in beams],
            [Cell(formats.fixed(beam.bpa_deg if beam else None, 1)) for beam in beams],
            [Cell(formats.fixed(result.pb.max)) for _, result in results],
            [Cell(formats.fixed(result.pb.min)) for _, result in results],
            [Cell(formats.fixed(result.pb.median)) for _, result in results],
        ]
    return _rows([state for state, _ in results], columns)


def _expected_cell(site: Site, label: str, result: CutoutResult) -> Cell:
    images = site.run.images(label)
    if result.expected_noise_jy is None and images is not None and images.expected_noise_jy is not None:
        return Cell("not recorded")
    return Cell(formats.mjy(result.expected_noise_jy))


def _low_noise_cell(fraction: float | None) -> Cell:
    # The last limit stands for "none at all".
    return below(fraction, formats.percent(fraction), (0.8, 0.5, 0.2, 1e-12))


# ---------------------------------------------------------------------------------------------- one plane


def plane(site: Site, label: str) -> dict[str, Any]:
    """All that is known of one plane."""
    state = next(state for state in site.run.plane_states() if state.label == label)
    block = _block(site, state)
    links: list[tuple[str, list[Link]]] = [
        (entry.title, found) for entry in RECIPE.of_planes if (found := site.step_links(entry, label))
    ]
    return {
        "stokes": STOKES,
        "block": block,
        "target": site.run.plan.target(label) if site.run.plan else None,
        "links": links,
        "notices": [notice for notice in site.run.notices() if notice.plane == label],
    }
