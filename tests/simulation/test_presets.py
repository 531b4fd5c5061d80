import dataclasses

import pytest

from vlasscube.errors import ProblemListError
from vlasscube.simulation import PRESETS, FieldSimulation, preset
from vlasscube.simulation.layout import array, pointings
from vlasscube.simulation.spectral_windows import spw_mean_frequency_hz
from vlasscube.workspace import record_json


def test_presets_are_named_by_their_keys():
    assert {name: parameters.name for name, parameters in PRESETS.items()} == {name: name for name in PRESETS}


@pytest.mark.parametrize("name", PRESETS)
def test_images_do_justice_to_the_data(name):
    p = preset(name)
    longest = array(p, 1).longest_baseline_m
    beam_arcsec = 206265 * 299792458.0 / spw_mean_frequency_hz(p.science_spws[-1]) / longest
    assert beam_arcsec / p.cell_arcsec >= 3.0, "fewer than 3 pixels per beam cost 4-8 % of the flux"
    width_arcmin = min(p.imsize) * p.cell_arcsec / 60
    primary_beam_arcmin = 42.0 / (spw_mean_frequency_hz(p.science_spws[0]) / 1e9)
    assert width_arcmin > 1.9 * primary_beam_arcmin, "a narrow image falsifies the fluxes by tens of per cent"
    assert p.channels not in (1, 4)


def test_production_is_as_large_as_production():
    p = preset("production")
    assert len(pointings(p)) == 403
    assert (p.imsize, p.cell_arcsec, p.channels) == ((12500, 12500), 0.6, 64)
    assert preset("production", science_spws=(2,), rfi_spws=()).science_spws == (2,)


def test_names():
    p = preset("tiny", ra_deg=12.5, dec_deg=-2.5, cell_arcsec=0.6, tile="T10t02")
    assert p.phasecenter == "J2000 00:50:00.000 -02.30.00.0000"
    assert p.image_name("cc") == "VLASS2.1.cc.T10t02.J005000-023000.06.2048.v1"
    assert p.image_name("se") == "VLASS2.1.se.T10t02.J005000-023000.06.2048.v1"
    assert p.input_ms == "VLASS2.1.sb38546349.eb38559922.59066.15098736111_split.ms"
    assert p.working_ms == "VLASS2.1.sb38546349.eb38559922.59066.15098736111_split_split.ms"


def test_sexagesimal_never_shows_sixty():
    p = preset("tiny", ra_deg=14.9999999999, dec_deg=33.9999999999)
    assert p.phasecenter == "J2000 01:00:00.000 +34.00.00.0000"


def test_planes_default_to_the_spectral_windows():
    assert preset("tiny").planes == ("2", "3", "4")
    assert preset("tiny", cube_spws=("2,3", "4")).planes == ("2,3", "4")


def test_parameters_survive_json():
    for parameters in PRESETS.values():
        assert record_json.from_json(FieldSimulation, record_json.to_json(parameters)) == parameters


def test_unknown_preset_and_parameter_are_errors():
    with pytest.raises(ProblemListError, match="known: tiny"):
        preset("huge")
    with pytest.raises(ProblemListError, match="unknown parameter: fieldz"):
        preset("tiny", fieldz=3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"ra_deg": -1.0},
        {"dec_deg": 89.0},
        {"dec_deg": -40.0, "hour_angle_h": 3.0},
        {"dec_deg": 88.0, "rows": 27, "fields_per_row": 1},
        {"dec_deg": 88.0, "rows": 1, "fields_per_row": 130},
        {"rows": 0},
        {"field_step_arcmin": 0.0},
        {"fields_per_row": 1000},
        {"row_gap_s": -1.0},
        {"configuration": "e"},
        {"antennas": 28},
        {"missing_antennas": 21},
        {"science_spws": ()},
        {"science_spws": (3, 2)},
        {"science_spws": (1, 2)},
        {"channels": 4},
        {"channels": 1},
        {"imsize": (32, 320)},
        {"cell_arcsec": 0.0},
        {"cube_spws": ("2~4",)},
        {"cube_spws": ("9",)},
        {"points": 0},
        {"flux_range_jy": (0.2, 0.1)},
        {"gaussian_fwhm_arcsec": (0.0, 1.0)},
        {"noise_scale": -1.0},
        {"flagged_row_fraction": 1.5},
        {"rfi_spws": (9,)},
        {"heavily_flagged_fields": 100},
        {"flagged_correlation": "XX"},
        {"beam_at": "dish"},
        {"positions_per_dump": 2},
        {"doubles": -1},
        {"double_separation_arcsec": (20.0, 10.0)},
        {"bright_flux_range_jy": (0.0, 1.0)},
        {"sidelobe_sources": 1},
        {"phase_drift_deg": -1.0},
        {"amplitude_error": 1.0},
        {"d_term_rms": -0.1},
        {"edge_noise": 0.5},
        {"hanning": True, "channels": 10},
        {"half_flagged_spws": (9,)},
        {"antennas_out_per_scan": 15, "basebands_out_per_scan": 6},
        {"antennas_without_solutions": -1},
        {"continuum_model": "none"},
        {"continuum_predict": "none"},
        {"continuum_predict": "direct"},
        {"continuum_major_cycles": 0},
    ],
    ids=str,
)
def test_wrong_parameters_are_named(wrong):
    with pytest.raises(ProblemListError) as caught:
        preset("tiny", **{"rfi_spws": (), **wrong})
    assert len(caught.value.problems) == 1
    assert any(word in caught.value.message for word in (*wrong, "row must not be longer"))


def test_all_problems_are_reported_at_once():
    with pytest.raises(ProblemListError) as caught:
        dataclasses.replace(preset("tiny"), rows=0, cell_arcsec=-1.0, antennas=99)
    assert len(caught.value.problems) == 3
