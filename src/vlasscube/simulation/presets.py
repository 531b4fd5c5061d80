"""Ready-made sets of parameters of a simulated field."""

from __future__ import annotations

import dataclasses
from typing import Any

from vlasscube.errors import ProblemListError
from vlasscube.simulation.parameters import FieldSimulation
from vlasscube.simulation.spectral_windows import ALL_SPWS

_SMALL = FieldSimulation(
    name="small",
    channels=8,
    science_spws=(2, 3, 4),
    imsize=(320, 320),
    cell_arcsec=8.0,
)

_TILTED = FieldSimulation(
    name="tilted",
    rows=3,
    fields_per_row=4,
    configuration="b",
    science_spws=(2,),
    channels=8,
    imsize=(2700, 2700),
    cell_arcsec=0.9,
    points=12,
    flux_range_jy=(0.05, 0.5),
    sources_on_pixels=False,
    continuum_model="truth",
    continuum_predict="direct",
    keep_final_state=False,
)
"""What a non-coplanar array does to a source is tan z · r² / 2 against the synthesised beam, so it takes the
true baselines (B) and the true primary beam; one window at the lowest frequency, where it is largest, keeps
the image small."""

_REAL = dataclasses.replace(
    _TILTED,
    name="real",
    ra_deg=0.0,
    dec_deg=-8.0,
    hour_angle_h=1.9,
    configuration="c",
    science_spws=(2, 6, 10, 14),
    channels=16,
    imsize=(1500, 1500),
    cell_arcsec=1.65,
    gaussian_fwhm_arcsec=(20.0, 60.0),
)
"""C's baselines see structure up to a minute of arc, and let four windows share one small image."""

PRESETS: dict[str, FieldSimulation] = {
    "tiny": dataclasses.replace(
        _SMALL,
        name="tiny",
        fields_per_row=4,
        points=6,
        flux_range_jy=(0.05, 0.3),
        rfi_spws=(3,),
        continuum_major_cycles=5,
    ),
    "demo": dataclasses.replace(
        _SMALL,
        name="demo",
        science_spws=ALL_SPWS,
        imsize=(512, 512),
        cell_arcsec=4.8,
        points=8,
        gaussians=2,
        rfi_spws=(3, 4, 16),
        flagged_spws=(17,),
        continuum_model="truth",
        continuum_predict="direct",
    ),
    "wide": dataclasses.replace(
        _SMALL,
        name="wide",
        antennas=15,
        rows=13,
        fields_per_row=31,
        science_spws=(2, 8, 14),
        imsize=(1440, 1440),
        cell_arcsec=5.0,
        points=40,
        gaussians=6,
        first_field_id=23000,
        continuum_model="truth",
        continuum_predict="direct",
        keep_final_state=False,
    ),
    "archive": dataclasses.replace(
        _SMALL,
        name="archive",
        rows=7,
        fields_per_row=9,
        antennas=10,
        science_spws=(2, 3),
        first_field_id=8000,
        later_fields=14358 - 8000 - 63,
        imsize=(512, 512),
        whole_observation_rows=3_300_000,
        continuum_model="truth",
        continuum_predict="direct",
    ),
    "production": FieldSimulation(
        name="production",
        rows=13,
        fields_per_row=31,
        configuration="b",
        science_spws=(10,),
        points=60,
        gaussians=10,
        flux_range_jy=(0.003, 0.3),
        separation_arcmin=1.0,
        gaussian_fwhm_arcsec=(4.0, 12.0),
        first_field_id=23000,
        rfi_spws=(10,),
        continuum_model="truth",
        continuum_predict="direct",
        keep_final_state=False,
    ),
    "z30": dataclasses.replace(_TILTED, name="z30", dec_deg=12.0, hour_angle_h=-1.487),
    "z50": dataclasses.replace(_TILTED, name="z50", ra_deg=0.0, dec_deg=-8.0, hour_angle_h=1.9),
    "z65": dataclasses.replace(_TILTED, name="z65", dec_deg=-25.0, hour_angle_h=-1.903),
    "z74": dataclasses.replace(_TILTED, name="z74", dec_deg=-38.0, hour_angle_h=1.202),
    "pole": dataclasses.replace(_TILTED, name="pole", ra_deg=0.0, dec_deg=88.0, hour_angle_h=-3.0),
    "otf": dataclasses.replace(
        _TILTED, name="otf", configuration="c", imsize=(880, 880), cell_arcsec=2.8, beam_at="otf"
    ),
    "sidelobes": dataclasses.replace(
        _REAL,
        name="sidelobes",
        beam_sidelobe=True,
        outside_sources=2,
        sidelobe_sources=2,
    ),
    "real": dataclasses.replace(
        _REAL,
        name="real",
        gaussians=2,
        doubles=2,
        beam_at="otf",
        leakage_beam=True,
        d_term_rms=0.004,
        phase_error_deg=25.0,
        phase_drift_deg=3.0,
        amplitude_error=0.02,
        antennas_without_solutions=1,
        ionospheric_rm_rad_m2=1.5,
        ionospheric_rm_rate_rad_m2_h=2.0,
        hanning=True,
        channel_smearing=True,
        edge_noise=1.5,
        half_flagged_spws=(6,),
        one_polarization_antennas=2,
        antennas_out_per_scan=1,
        basebands_out_per_scan=2,
        rfi_spws=(2,),
    ),
}
"""``tiny`` for tests, ``demo`` to look at, ``wide`` (2°, coarse pixels), ``archive`` (little data among
subtables as long as in the archive), ``production`` (full size); ``z30`` to ``z74`` at zenith distances of
30, 50, 65 and 74°, east and west of the meridian, and ``pole`` at declination 88° (z = 55°); ``otf`` with the
antennas moving, ``sidelobes`` with bright sources beyond the image, and ``real`` with what real data have
besides, at z = 50°."""


def preset(name: str, **overrides: Any) -> FieldSimulation:
    """Take a preset and change some of its parameters.

    Raises
    ------
    ProblemListError
        If there is no such preset or parameter, or the parameters contradict each other.
    """
    if name not in PRESETS:
        raise ProblemListError(f"there is no preset '{name}'", [f"known: {', '.join(PRESETS)}"])
    known = {field.name for field in dataclasses.fields(FieldSimulation)}
    unknown = [f"unknown parameter: {key}" for key in overrides if key not in known]
    if unknown:
        raise ProblemListError("the simulation cannot be set up", unknown)
    return dataclasses.replace(PRESETS[name], **overrides)
