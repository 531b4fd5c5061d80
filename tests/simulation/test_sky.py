import math

import pytest
from astropy.table import Table

from vlasscube.simulation import preset
from vlasscube.simulation.drawing import draw_sky
from vlasscube.simulation.sky import (
    Source,
    read_truth,
    read_truth_metadata,
    stokes_spectrum,
    write_truth,
)


def test_stokes_spectrum_follows_its_formula():
    source = Source("A", 0.0, 0.0, 2.0, -0.8, 0.1, 30.0, 25.0, -0.05)
    frequency = 2.5e9
    i, q, u, v = stokes_spectrum(source, frequency)[:, 0]
    angle = math.radians(30.0) + 25.0 * (299792458.0 / frequency) ** 2
    assert i == pytest.approx(2.0 * (2.5 / 3.0) ** -0.8)
    assert (q, u) == pytest.approx((0.1 * i * math.cos(2 * angle), 0.1 * i * math.sin(2 * angle)))
    assert v == pytest.approx(-0.05 * i)


def test_stokes_spectrum_at_3_ghz_is_the_flux():
    assert stokes_spectrum(Source("A", 0.0, 0.0, 0.7, 1.3), [3.0e9])[0, 0] == pytest.approx(0.7)


@pytest.mark.parametrize(
    "wrong",
    [
        {"fractional_polarization": 1.2},
        {"fractional_v": -2.0},
        {"major_arcsec": 1.0, "minor_arcsec": 2.0},
        {"major_arcsec": math.nan},
    ],
)
def test_impossible_sources_are_errors(wrong):
    with pytest.raises(ValueError, match="A: "):
        Source("A", 0.0, 0.0, 1.0, **wrong)


def test_truth_table_survives_the_disk(tmp_path):
    path = tmp_path / "sky.ecsv"
    sources = draw_sky(preset("real", outside_sources=1), 2)
    write_truth(path, sources, {"seed": 2})
    assert read_truth(path) == sources
    assert {source.kind for source in sources} == {"field", "double", "outside"}
    assert "rad / m2" in path.read_text()
    assert read_truth_metadata(path)["seed"] == 2


def test_truth_without_kinds_is_read(tmp_path):
    """As version 0.1 wrote it."""
    path = tmp_path / "sky.ecsv"
    sources = draw_sky(preset("tiny"), 2)
    write_truth(path, sources)
    table = Table.read(path, format="ascii.ecsv")
    table.remove_column("kind")
    table.write(path, format="ascii.ecsv", overwrite=True)
    assert read_truth(path) == sources
