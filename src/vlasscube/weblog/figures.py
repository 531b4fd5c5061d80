"""Figures, each a function of records: what they show has been computed before, by the stages."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from vlasscube.constants import ARCSEC_PER_DEG
from vlasscube.images.beams import expected_beam
from vlasscube.polarization.records import PowerLaw, RegionSpectrum, RotationMeasureFit, StokesMeasurement
from vlasscube.polarization.sefd import ReceiverNoise
from vlasscube.polarization.stokes import power_law_flux
from vlasscube.records import STOKES, Field, FieldFlags, ImageGeometry
from vlasscube.results.types import CubePlan, PlaneVerdict
from vlasscube.sky import offsets_arcsec, parse_phasecenter
from vlasscube.weblog.figure_style import (
    ACCENT,
    MUTED,
    SECOND,
    STOKES_COLOURS,
    STOKES_MARKERS,
    WARNING,
    log_ticks,
    new_figure,
    no_data,
    plane_name,
    short,
    spectral_colour,
)

FloatArray = npt.NDArray[np.float64]

MAX_SCAN_TICKS = 16


# ------------------------------------------------------------------------------------------------- sky


def finder(fields: Sequence[Field], imaged: Collection[int], geometry: ImageGeometry) -> Figure:
    """Positions of the fields about the phase centre, with the boxes of image and central square degree.

    Parameters
    ----------
    fields : sequence of Field
        Pointings of the measurement set.
    imaged : collection of int
        Ids of those that the image is made of; none while that is not decided.
    geometry : ImageGeometry
        Geometry of the image.
    """
    figure = new_figure(3.6, 3.4)
    axes = figure.subplots()
    ra0, dec0, system = parse_phasecenter(geometry.phasecenter)
    ra, dec = (np.array([getattr(f, name) for f in fields]) for name in ("ra_deg", "dec_deg"))
    x, y = (offset / ARCSEC_PER_DEG for offset in offsets_arcsec(ra, dec, ra0, dec0))
    used = np.array([f.id in imaged for f in fields], dtype=bool)
    for chosen, colour, name in ((~used, "#b9bec7", "not imaged"), (used, ACCENT, "imaged")):
        if chosen.any():
            axes.plot(x[chosen], y[chosen], ".", color=colour, markersize=4, label=name)
    cell_deg = geometry.cell_arcsec / ARCSEC_PER_DEG
    sides = geometry.nx * cell_deg, geometry.ny * cell_deg
    axes.add_patch(
        Rectangle((-sides[0] / 2, -sides[1] / 2), *sides, fill=False, color="#3b3f46", linewidth=1.2)
    )
    if min(sides) > 1:
        axes.add_patch(Rectangle((-0.5, -0.5), 1, 1, fill=False, color=WARNING, linewidth=1, linestyle="--"))
    axes.plot(0, 0, "+", color=WARNING, markersize=9)
    axes.set_aspect("equal", adjustable="datalim")
    axes.invert_xaxis()
    axes.set_xlabel(f"offset in right ascension [deg], {system}")
    axes.set_ylabel("offset in declination [deg]")
    if imaged and not used.all():
        figure.legend(ncols=2, loc="outside lower center", markerscale=2)
    return figure


# ------------------------------------------------------------------------------------------------ flags


def flag_summary(plan: CubePlan) -> Figure:
    """Flagged fraction by field of the central square degree and plane."""
    fields, targets = plan.box_fields, plan.targets
    figure = new_figure(7.2, 5.6)
    axes = figure.subplots()
    axes.grid(visible=False)
    axes.set_title("Flagged fraction per field of the central square degree")
    if not fields or not targets:
        no_data(axes, "no fields in the central square degree")
        return figure
    flagged = np.array([[_percent(field, target.spw_ids) for target in targets] for field in fields])
    mesh = axes.pcolormesh(np.ma.masked_invalid(flagged), cmap="viridis", vmin=0, vmax=100)
    axes.set_facecolor("#e3e5e9")
    figure.colorbar(mesh, ax=axes, label="flagged [%]", pad=0.01)
    for edge in range(1, len(targets)):
        axes.axvline(edge, color="white", linewidth=0.8)
    marks = ["*" if target.outcome is not None else "" for target in targets]
    axes.set_xticks(
        np.arange(len(targets)) + 0.5,
        [f"{short(t.spw, 9)}{m}\nn={t.fields_above_threshold}" for t, m in zip(targets, marks, strict=True)],
        fontsize=8,
    )
    for label, target in zip(axes.get_xticklabels(), targets, strict=True):
        label.set_color(WARNING if target.outcome is not None else "black")
    ticks = _first_of_scans(fields)
    axes.set_yticks(
        [row + 0.5 for row in ticks],
        [f"{short(fields[row].name)} / scan {fields[row].scan}" for row in ticks],
    )
    axes.tick_params(axis="y", labelsize=8)
    axes.set_xlabel(
        "plane (spectral windows); n: fields flagged above "
        f"{plan.reject_flag_fraction:.0%}; *: not imaged or rejected"
    )
    return figure


def _percent(field: FieldFlags, spw_ids: Sequence[int]) -> float:
    fraction = field.over(spw_ids).fraction
    return np.nan if fraction is None else 100.0 * fraction


def _first_of_scans(fields: Sequence[FieldFlags]) -> list[int]:
    first = [row for row, field in enumerate(fields) if row == 0 or field.scan != fields[row - 1].scan]
    return first[:: max(1, -(-len(first) // MAX_SCAN_TICKS))]


# ------------------------------------------------------------------------------------------------ beams


def plane_summary(planes: Sequence[PlaneVerdict], beam_deviation: float, flag_fraction: float) -> Figure:
    """Beam axes against frequency, with what the reference plane lets expect; flagged fraction by plane."""
    figure = new_figure(7.2, 5.6, margins_in=(0.7, 0.15, 0.6, 0.4))
    above, below = figure.subplots(2, 1, height_ratios=(3, 2), gridspec_kw={"hspace": 0.35})
    _beams(above, planes, beam_deviation)
    positions = np.arange(len(planes))
    values = [100 * p.flagged_fraction if p.flagged_fraction is not None else 0.0 for p in planes]
    below.bar(
        positions, values, color=["#b9bec7" if p.outcome == "imaged" else WARNING for p in planes], width=0.7
    )
    below.axhline(
        100 * flag_fraction, color=WARNING, linestyle="--", linewidth=1, label="rejection threshold"
    )
    below.set_ylim(0, 105)
    below.set_xticks(positions, [short(p.spw, 9) for p in planes], fontsize=8)
    below.set_xlabel("spectral windows of the plane (orange: rejected or not imaged)")
    below.set_ylabel("flagged [%]")
    below.grid(visible=False, axis="x")
    return figure


def _beams(axes: Axes, planes: Sequence[PlaneVerdict], deviation: float) -> None:
    axes.set_title("Restoring beam of Stokes I")
    axes.set_xlabel("reference frequency [GHz]")
    axes.set_ylabel("FWHM [arcsec]")
    with_beam = [plane for plane in planes if plane.beam is not None]
    if not with_beam:
        no_data(axes, "no plane has a beam")
        return
    reference = next((plane for plane in planes if plane.is_reference and plane.beam is not None), None)
    frequencies = [plane.frequency_hz / 1e9 for plane in with_beam]
    ghz = np.linspace(min(frequencies), max(frequencies), 60)
    for axis, name, colour in (("bmaj_arcsec", "major axis", ACCENT), ("bmin_arcsec", "minor axis", SECOND)):
        for plane in with_beam:
            kept = plane.outcome == "imaged"
            axes.plot(
                plane.frequency_hz / 1e9,
                getattr(plane.beam, axis),
                marker="s" if plane.is_reference else "o",
                markersize=8 if plane.is_reference else 6,
                color=colour,
                markerfacecolor=colour if kept else "white",
                linestyle="",
            )
        if reference is not None and reference.beam is not None:
            beams = [expected_beam(reference.beam, reference.frequency_hz, x * 1e9) for x in ghz]
            expected = np.array([getattr(beam, axis) for beam in beams])
            axes.plot(
                ghz, expected, color=colour, linestyle="--", linewidth=1, label=f"{name}, expected ∝ 1/ν"
            )
            band = (expected * (1 - deviation), expected * (1 + deviation))
            axes.fill_between(ghz, band[0], band[1], color=colour, alpha=0.12, linewidth=0)
    axes.plot([], [], "s", color=MUTED, label="reference plane")
    axes.plot([], [], "o", color=MUTED, markerfacecolor="white", label="rejected")
    axes.legend(ncols=2)


# ------------------------------------------------------------------------------------------------ noise


def noise_spectrum(
    title: str,
    frequencies_hz: Mapping[str, float],
    rejected: Collection[str],
    rms_jy: Mapping[str, Mapping[str, float | None]],
    expected_jy: Mapping[str, float | None],
    receivers: ReceiverNoise | None,
) -> Figure:
    """Noise against frequency by Stokes parameter.

    Parameters
    ----------
    title : str
        What kind of noise it is.
    frequencies_hz : mapping
        By plane label.
    rejected : collection of str
        Labels of rejected planes.
    rms_jy : mapping
        Noise in Jy/beam by plane label and Stokes parameter.
    expected_jy : mapping
        Noise by the weights of the data in Jy/beam, by plane label.
    receivers : ReceiverNoise, optional
        Noise of the receivers, scaled to the planes.
    """
    figure = new_figure(6.4, 4.4, margins_in=(0.7, 0.15, 1.0, 0.4))
    axes = figure.subplots()
    for stokes in STOKES:
        points = [
            (hertz / 1e9, value * 1e3, label)
            for label, hertz in sorted(frequencies_hz.items(), key=lambda item: item[1])
            if (value := rms_jy[label].get(stokes)) is not None and np.isfinite(value)
        ]
        look: dict[str, Any] = {
            "color": STOKES_COLOURS[stokes],
            "marker": STOKES_MARKERS[stokes],
            "markersize": 5,
        }
        kept = [point for point in points if point[2] not in rejected]
        axes.plot(
            [x for x, _, _ in kept], [y for _, y, _ in kept], linewidth=1, label=f"Stokes {stokes}", **look
        )
        marked = [point for point in points if point[2] in rejected]
        axes.plot(
            [x for x, _, _ in marked],
            [y for _, y, _ in marked],
            linestyle="",
            markerfacecolor="white",
            **look,
        )
        for x, y, label in points if stokes == "I" else ():
            axes.annotate(
                plane_name(label), (x, y), xytext=(0, 6), textcoords="offset points", ha="center", fontsize=8
            )
    by_weights = [
        (hertz / 1e9, value * 1e3)
        for label, hertz in sorted(frequencies_hz.items(), key=lambda item: item[1])
        if (value := expected_jy.get(label)) is not None and np.isfinite(value)
    ]
    if by_weights:
        axes.plot(
            *zip(*by_weights, strict=True),
            color="black",
            marker="_",
            markersize=11,
            linestyle=":",
            linewidth=1,
            label="expected from weights",
        )
    if receivers is not None:
        ghz = [hertz / 1e9 for hertz in receivers.frequencies_hz]
        mjy = [noise * 1e3 for noise in receivers.noise_jy]
        axes.plot(ghz, mjy, color=MUTED, linewidth=1, zorder=1, label="SEFD, scaled")
    values = [
        v
        for known in (*rms_jy.values(), expected_jy)
        for v in known.values()
        if v is not None and np.isfinite(v)
    ]
    axes.set_xlim(1.9, 4.1)
    if values:
        axes.set_ylim(0, 1.15e3 * max(values))
    axes.set_title(title)
    axes.set_xlabel("frequency [GHz] (open: rejected)")
    axes.set_ylabel("noise [mJy/beam]")
    figure.legend(ncols=3, loc="lower center")
    return figure


# ---------------------------------------------------------------------------------------------- spectra


def _ordered(region: RegionSpectrum) -> list[StokesMeasurement]:
    return sorted(region.measurements, key=lambda measurement: measurement.frequency_hz)


def _fractions(measurement: StokesMeasurement) -> tuple[float, float] | None:
    """Q/I and U/I; None without positive Stokes I."""
    derived = measurement.derived
    if measurement.stokes_i <= 0 or derived is None or derived.q_over_i is None or derived.u_over_i is None:
        return None
    return derived.q_over_i, derived.u_over_i


def stokes_u_vs_q(region: RegionSpectrum, title: str, limit: float) -> Figure:
    """U/I against Q/I, one point per plane; both axes reach ±limit."""
    figure = new_figure(6.0, 4.2, margins_in=(0.75, 2.0, 0.55, 0.4))
    axes = figure.subplots()
    measured = [(m, *found) for m in _ordered(region) if (found := _fractions(m)) is not None]
    for index, (m, q, u) in enumerate(measured):
        colour = spectral_colour(index, len(measured))
        name = plane_name(m.label)
        if m.point_source is not None:
            axes.errorbar(
                q,
                u,
                xerr=m.point_source.q_over_i_error,
                yerr=m.point_source.u_over_i_error,
                color=colour,
                elinewidth=1,
                capsize=2,
            )
        axes.plot(
            q,
            u,
            "o",
            markersize=8 if m.point_source is None else 5,
            color=colour,
            markerfacecolor=colour if m.kept else "white",
            label=f"{name}: {m.frequency_hz / 1e9:.3f} GHz{'' if m.kept else ' (rejected)'}",
        )
        axes.annotate(name, (q, u), xytext=(6, 4), textcoords="offset points", fontsize=8)
    if not measured:
        no_data(axes, "no measurements with positive Stokes I")
    axes.axhline(0, color=MUTED, linewidth=0.8)
    axes.axvline(0, color=MUTED, linewidth=0.8)
    axes.set_xlim(-limit, limit)
    axes.set_ylim(-limit, limit)
    axes.set_aspect("equal")
    axes.set_title(title)
    axes.set_xlabel("Q/I")
    axes.set_ylabel("U/I")
    if measured:
        figure.legend(loc="center right", fontsize=8, handletextpad=0.2, labelspacing=0.35)
    return figure


def flux_spectrum(region: RegionSpectrum, title: str, limits_mjy: tuple[float, float]) -> Figure:
    """Stokes I against frequency with the power law and the 2σ level of each plane.

    The values of a point source, with the means in the box beside them; the means alone where there are none.
    """
    figure = new_figure(6.0, 4.2, margins_in=(0.75, 0.15, 0.55, 0.4))
    axes = figure.subplots()
    axes.set_xscale("log")
    axes.set_yscale("log")
    measured = _ordered(region)
    of_point_source = any(m.point_source is not None for m in measured)
    if of_point_source:
        means = [(m.frequency_hz / 1e9, m.stokes_i * 1e3) for m in measured if m.stokes_i > 0]
        axes.plot([x for x, _ in means], [y for _, y in means], "x", color=MUTED, markersize=5)
    for index, m in enumerate(measured):
        colour = spectral_colour(index, len(measured))
        hertz, flux, error = m.frequency_hz, m.stokes_i, m.rms_i_box
        if m.point_source is not None:
            hertz = m.fit_frequency_hz
            flux, error = m.point_source.flux_jy["I"], m.point_source.error_jy["I"]
        if flux <= 0 or (of_point_source and m.point_source is None):
            continue
        axes.errorbar(
            hertz / 1e9,
            flux * 1e3,
            yerr=error * 1e3,
            marker="o",
            color=colour,
            markerfacecolor=colour if m.kept else "white",
            elinewidth=1,
        )
    levels = [(m.frequency_hz / 1e9, 2e3 * m.rms_median["I"]) for m in measured if m.rms_median.get("I")]
    if any(level > limits_mjy[0] for _, level in levels):
        x, y = (np.array(values) for values in zip(*levels, strict=True))
        axes.fill_between(x, y, limits_mjy[0], color="#d5d8dd", label="below 2σ", linewidth=0)
    if region.point_source_law is not None:
        _draw_law(axes, region.point_source_law, "point source: ", WARNING, "-")
    if region.power_law is not None:
        mean, colour, line = ("3 × 3 mean: ", MUTED, "--") if of_point_source else ("", WARNING, "-")
        _draw_law(axes, region.power_law, mean, colour, line)
    axes.set_xlim(1.9, 4.15)
    axes.set_ylim(*limits_mjy)
    axes.set_xticks([2, 2.5, 3, 3.5, 4], ["2", "2.5", "3", "3.5", "4"])
    axes.set_xticks([], minor=True)
    log_ticks(axes.yaxis, *limits_mjy)
    axes.set_title(title)
    axes.set_xlabel("frequency [GHz] (open: rejected, not fitted)")
    axes.set_ylabel("Stokes I [mJy/beam]")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower left")
    return figure


def _draw_law(axes: Axes, law: PowerLaw, name: str, colour: str, line: str) -> None:
    if law.flux_3ghz_jy <= 0:
        return
    ghz = np.geomspace(1.95, 4.05, 50)
    error = f" ± {law.alpha_error:.3f}" if law.alpha_error is not None else ""
    axes.plot(
        ghz,
        [power_law_flux(law, x * 1e9) * 1e3 for x in ghz],
        color=colour,
        linestyle=line,
        label=f"{name}{law.flux_3ghz_jy * 1e3:.3g} mJy/beam at 3 GHz, α = {law.alpha:.3f}{error}",
    )


def polarization_spectrum(region: RegionSpectrum, title: str) -> Figure:
    """Linearly polarised intensity and position angle of a point source against λ²."""
    figure = new_figure(6.0, 4.6, margins_in=(0.75, 0.15, 0.55, 0.4))
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 3))
    above.set_title(title)
    above.set_ylabel("P [mJy/beam]")
    below.set_ylabel("χ [deg]")
    below.set_xlabel("λ² [10⁻³ m²] (open: rejected, not fitted)")
    measured = [(m, m.point_source) for m in _ordered(region) if m.point_source is not None]
    fit = region.rotation_measure
    for index, (m, point) in enumerate(measured):
        colour = spectral_colour(index, len(measured))
        look: dict[str, Any] = {
            "marker": "o",
            "markersize": 4,
            "color": colour,
            "markerfacecolor": colour if m.kept else "white",
            "elinewidth": 1,
            "capsize": 2,
        }
        x = m.fit_lambda2_m2
        above.errorbar(x * 1e3, point.polarized_jy * 1e3, yerr=point.polarized_error_jy * 1e3, **look)
        if point.angle_deg is not None:
            angle = _nearest_turn(point.angle_deg, _angle_deg(fit, x)) if fit is not None else point.angle_deg
            below.errorbar(x * 1e3, angle, yerr=point.angle_error_deg, **look)
    if not measured:
        no_data(below, "no values of a point source")
    above.set_ylim(bottom=0)
    if fit is not None and measured:
        reach = np.array([m.fit_lambda2_m2 for m, _ in measured])
        line = np.linspace(reach.min(), reach.max(), 50)
        below.plot(
            line * 1e3,
            [_angle_deg(fit, x) for x in line],
            color=WARNING,
            label=f"RM = {fit.rm:.1f} ± {fit.rm_error:.1f} rad/m², P/I = {fit.polarized:.2%}, {fit.snr:.1f}σ",
        )
        below.margins(y=0.2)
        below.legend(loc="best")
    return figure


def _angle_deg(fit: RotationMeasureFit, lambda2_m2: float) -> float:
    """Position angle of a Faraday screen, not brought into half a turn."""
    return float(fit.angle0_deg + np.degrees(fit.rm * lambda2_m2))


def _nearest_turn(angle_deg: float, target_deg: float) -> float:
    """The angle, which counts modulo 180°, nearest to another."""
    return float(angle_deg + 180.0 * np.round((target_deg - angle_deg) / 180.0))


def shared_fraction_limit(regions: Sequence[RegionSpectrum]) -> float:
    """Reach of the axes of `stokes_u_vs_q` that suits several spectra."""
    found = (_fractions(measurement) for region in regions for measurement in region.measurements)
    return 1.2 * max((abs(value) for pair in found if pair for value in pair), default=0.0) or 0.1


def shared_flux_limits(regions: Sequence[RegionSpectrum]) -> tuple[float, float]:
    """Limits in mJy of the axis of `flux_spectrum` that suit several spectra."""
    measured = [m for region in regions for m in region.measurements]
    found = [m.stokes_i for m in measured]
    found += [m.point_source.flux_jy["I"] for m in measured if m.point_source is not None]
    values = [flux * 1e3 for flux in found if flux > 0]
    if not values:
        return 0.1, 10.0
    # Room for the legend below; the 2σ levels show as far as they come near.
    return 0.4 * min(values), 1.4 * max(values)
