"""A whole simulation: what it leaves behind, and whether the continuum run's state makes sense."""

import ast
import tarfile
from pathlib import Path

import numpy as np
import pytest

from vlasscube import casa
from vlasscube.errors import ProblemListError, WorkspaceError
from vlasscube.simulation import SimulationRecord, preset, simulate
from vlasscube.simulation.build import observe
from vlasscube.simulation.continuum_images import pixel_position
from vlasscube.simulation.corruption import noise_jy
from vlasscube.simulation.field_data import ideal_visibilities
from vlasscube.simulation.flag_patterns import antennas_without_solutions
from vlasscube.simulation.sky import read_truth
from vlasscube.simulation.spectral_windows import channel_frequencies_hz
from vlasscube.workspace import record_json


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def parameter_list(path):
    lines = (line.partition("=") for line in path.read_text().splitlines())
    return {key: ast.literal_eval(value) for key, _, value in lines}


def test_refuses_to_overwrite(tmp_path):
    (tmp_path / "CCIP_parameter.list").touch()
    with pytest.raises(WorkspaceError, match=r"CCIP_parameter\.list"):
        simulate(tmp_path, preset("tiny"))
    assert names(tmp_path) == ["CCIP_parameter.list"]


def test_a_sky_that_does_not_fit_is_found_before_anything_is_written(tmp_path):
    with pytest.raises(ProblemListError, match="do not fit"):
        simulate(tmp_path / "new", preset("tiny", points=200))
    assert not (tmp_path / "new").exists()


@pytest.fixture(scope="module")
def directory(tiny_simulation):
    return Path(tiny_simulation.directory)


@pytest.fixture(scope="module")
def observation(tiny_simulation):
    return observe(tiny_simulation.parameters, tiny_simulation.seed)


@pytest.fixture(scope="module")
def state(tiny_simulation, directory):
    with np.load(directory / tiny_simulation.final_state) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def resources(tiny_simulation, directory, tmp_path_factory):
    target = tmp_path_factory.mktemp("resources")
    with tarfile.open(directory / tiny_simulation.resources) as archive:
        archive.extractall(target, filter="data")
    return target


@pytest.mark.casa
class TestTiny:
    def test_directory_holds_the_inputs_and_the_truth_only(self, tiny_simulation, directory):
        assert names(directory) == sorted(
            [
                tiny_simulation.measurement_set,
                "SEIP_parameter.list",
                "CCIP_parameter.list",
                "reimaging_resources.tgz",
                "truth",
            ]
        )

    def test_record_is_kept(self, tiny_simulation, directory):
        text = (directory / "truth" / "parameters.json").read_text()
        assert record_json.from_json(SimulationRecord, text) == tiny_simulation

    def test_sky_is_kept(self, tiny_simulation, directory, observation):
        assert read_truth(directory / tiny_simulation.sky) == observation.sources

    def test_parameter_lists(self, directory):
        continuum = parameter_list(directory / "SEIP_parameter.list")
        cube = parameter_list(directory / "CCIP_parameter.list")
        assert continuum["imaging_mode"] == "VLASS-SE-CONT-MOSAIC"
        assert continuum["spw"] == "2,3,4"
        assert cube["imaging_mode"] == "VLASS-SE-CUBE"
        assert cube["spw"] == ["2", "3", "4"]
        assert ".se." in continuum["imagename"]
        assert ".cc." in cube["imagename"]
        for values in (continuum, cube):
            assert (values["imsize"], values["cell"]) == ([320, 320], ["8arcsec"])
            assert values["phasecenter"] == "J2000 10:00:00.000 +34.00.00.0000"

    def test_archive_names(self, tiny_simulation, resources):
        working = tiny_simulation.working_measurement_set
        image = tiny_simulation.parameters.image_name("se")
        assert set(names(resources)) == {
            f"s13_0.{image}.QLcatmask-tier1.mask",
            f"s12_0.{image}.secondmask.mask",
            f"s13_0.{image}.combined-tier2.mask",
            *(f"s5_0.{image}.I.iter1.model.tt{order}" for order in (0, 1)),
            *(f"s13_0.{image}.I.iter3.model.tt{order}" for order in (0, 1)),
            f"{working}.hifv_selfcal.s8_1.phase-self-cal.tbl",
            f"{working}.flagversions",
        }
        versions = set(names(resources / f"{working}.flagversions"))
        assert {"FLAG_VERSION_LIST", "flags.statwt_1", "flags.rfi_flagged_statwt"} <= versions
        assert any(name.startswith("flags.hifv_checkflag_vlass-imaging_stage6_") for name in versions)

    def test_masks_are_zero_or_one_and_cover_the_sources(self, tiny_simulation, resources, observation):
        masks = {}
        for name in ("QLcatmask-tier1", "secondmask", "combined-tier2"):
            with casa.image(next(resources.glob(f"*.{name}.mask"))) as image:
                masks[name] = image.getchunk()
                assert image.shape().tolist() == [320, 320, 1, 1]
        assert all(set(np.unique(mask)) == {0.0, 1.0} for mask in masks.values())
        union = np.maximum(masks["QLcatmask-tier1"], masks["secondmask"])
        np.testing.assert_array_equal(masks["combined-tier2"], union)
        covered = {"QLcatmask-tier1": 0, "combined-tier2": 0}
        for source in observation.sources:
            x, y = np.round(pixel_position(tiny_simulation.parameters, source.ra_deg, source.dec_deg)).astype(
                int
            )
            for name in covered:
                covered[name] += int(masks[name][x, y, 0, 0])
        assert covered["combined-tier2"] == len(observation.sources)
        assert 0 < covered["QLcatmask-tier1"] < len(observation.sources)

    def test_final_state_is_ordered(self, tiny_simulation, state):
        keys = [state[name] for name in ("DATA_DESC_ID", "FIELD_ID", "TIME", "ANTENNA1", "ANTENNA2")]
        assert np.array_equal(np.lexsort(keys[::-1]), np.arange(tiny_simulation.rows))

    def test_corrected_data_are_the_sky_and_noise(self, tiny_simulation, state, observation):
        """Self-calibration undoes the phase errors, and the flags remove the interference."""
        p = tiny_simulation.parameters
        first, second = observation.array.baselines
        for pointing in observation.pointings[::3]:
            for spw in p.science_spws:
                rows = (state["FIELD_ID"] == pointing.field_id) & (state["DATA_DESC_ID"] == spw)
                uvw = field_uvw(observation, pointing)
                frequencies = channel_frequencies_hz(p, spw)
                sky = ideal_visibilities(p, observation.sources, pointing, uvw, frequencies)
                good = ~state["FLAG"][:, :, rows]
                if not good.any():
                    continue
                residual = (state["CORRECTED_DATA"][:, :, rows] - sky)[good]
                expected = noise_jy(frequencies, 16e6, 0.45).mean()
                assert np.sqrt(np.mean(np.abs(residual) ** 2) / 2) == pytest.approx(expected, rel=0.06)
        assert len(first) == len(second)

    def test_model_is_unpolarized_and_resembles_the_sky(self, tiny_simulation, state, observation):
        model = state["MODEL_DATA"]
        np.testing.assert_array_equal(model[0], model[3])
        assert not np.any(model[1:3])
        p = tiny_simulation.parameters
        for spw in p.science_spws:
            # Over the whole mosaic: a model of five major cycles lacks a quarter of what single fields see.
            product, norm = 0j, 0.0
            for pointing in observation.pointings:
                rows = (state["FIELD_ID"] == pointing.field_id) & (state["DATA_DESC_ID"] == spw)
                uvw, frequencies = field_uvw(observation, pointing), channel_frequencies_hz(p, spw)
                sky = ideal_visibilities(p, observation.sources, pointing, uvw, frequencies)
                total = (sky[0] + sky[3]) / 2
                product += np.vdot(total, model[0][:, rows])
                norm += np.vdot(total, total).real
            correlation = product / norm
            assert correlation.real == pytest.approx(1.0, abs=0.25)
            assert correlation.imag == pytest.approx(0.0, abs=0.05)

    def test_flags_are_exactly_the_interference_and_the_initial_flags(
        self, tiny_simulation, directory, state, observation
    ):
        with casa.table(directory / tiny_simulation.measurement_set) as table:
            initial = table.getcol("FLAG")
            keys = ("ANTENNA2", "ANTENNA1", "TIME", "FIELD_ID", "DATA_DESC_ID")
            initial = initial[:, :, np.lexsort([table.getcol(name) for name in keys])]
        expected = initial.copy()
        for event in observation.interference:
            rows = state["DATA_DESC_ID"] == event.spw
            if event.field_ids:
                rows &= np.isin(state["FIELD_ID"], event.field_ids)
            expected[:, event.first_channel : event.last_channel + 1, rows] = True
        np.testing.assert_array_equal(state["FLAG"], expected)
        assert expected.mean() > initial.mean() + 0.02

    def test_weights_measure_the_noise(self, state):
        weight = state["WEIGHT"][:, ~state["FLAG_ROW"]]
        # 96 mJy on average; what the model lacks of the sky comes on top.
        assert 0.6 < np.median(weight) * 0.097**2 < 1.05


@pytest.mark.casa
def test_continuum_from_the_truth_by_direct_sum(casa_session, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    p = preset(
        "tiny",
        antennas=12,
        missing_antennas=1,
        nan_visibilities=20,
        flagged_correlation="LL",
        fields_per_row=3,
        science_spws=(2, 3),
        flagged_spws=(3,),
        rfi_spws=(2,),
        gaussians=1,
        points=3,
        antennas_without_solutions=1,
        outside_sources=1,
        continuum_model="truth",
        continuum_predict="direct",
    )
    steps = []
    record = simulate(tmp_path / "field", p, seed=7, progress=lambda step, done: steps.append((done, step)))
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert steps[-1] == (1.0, "done")
    assert not list(elsewhere.iterdir()), "CASA wrote into the current directory"
    observation = observe(p, 7)
    known = observation.modelled_sources
    assert len(known) == len(observation.sources) - 1
    with np.load(tmp_path / "field" / record.final_state) as state:
        assert state["FLAG"][:, :, state["DATA_DESC_ID"] == 3].all()
        missing = np.isnan(state["CORRECTED_DATA"])
        assert missing.sum() == 20
        assert state["FLAG"][missing].all()
        assert np.isfinite(state["WEIGHT"]).all()
        pointing = observation.pointings[2]
        rows = (state["FIELD_ID"] == pointing.field_id) & (state["DATA_DESC_ID"] == 2)
        sky = ideal_visibilities(
            p, known, pointing, field_uvw(observation, pointing), channel_frequencies_hz(p, 2)
        )
        np.testing.assert_allclose(state["MODEL_DATA"][0][:, rows], (sky[0] + sky[3]) / 2, atol=1e-5)
        unsolved = np.isin(state["ANTENNA1"], list(antennas_without_solutions(observation)))
        assert not state["FLAG"][:, :, unsolved & rows].all(), "data without a solution are kept"
    with tarfile.open(tmp_path / "field" / record.resources) as archive:
        archive.extractall(tmp_path / "resources", filter="data")
    with casa.table(next((tmp_path / "resources").glob("*.tbl"))) as table:
        of_antenna = table.getcol("ANTENNA1")
        flagged = table.getcol("FLAG").all(axis=(0, 1))
    expected = antennas_without_solutions(observation) | {
        int(a) for a in set(of_antenna) - set(observation.array.active)
    }
    assert {int(a) for a in of_antenna[flagged]} == expected
    model = next((tmp_path / "resources").glob("s5_0.*.model.tt0"))
    with casa.image(model) as image:
        values = image.getchunk()[:, :, 0, 0]
        assert image.brightnessunit() == "Jy/pixel"
    brightest = observation.sources[0]
    x, y = pixel_position(p, brightest.ra_deg, brightest.dec_deg)
    assert (x, y) == pytest.approx((round(x), round(y)), abs=1e-3)
    assert values[round(x), round(y)] == values.max()


def field_uvw(observation, pointing):
    """UVW of a field, (integrations, baselines, 3)."""
    from vlasscube.simulation.layout import uvw_m

    first, second = observation.array.baselines
    positions = observation.array.positions_m
    return np.stack(
        [
            uvw_m(positions[first] - positions[second], time, pointing.ra_rad, pointing.dec_rad)
            for time in pointing.times_mjd_s
        ]
    )
