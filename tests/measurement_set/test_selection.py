"""Data selection; positions against astropy."""

from __future__ import annotations

import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from hypothesis import given, settings
from hypothesis import strategies as st

from vlasscube.errors import MeasurementSetError
from vlasscube.measurement_set import selection
from vlasscube.naming import format_field_name
from vlasscube.records import Antenna, Field, MeasurementSetSummary, Scan, SpectralWindow

CENTRE = "J2000 00:50:0.366 -02.30.0.0000"


def field(number, ra, dec, *, name=None, target=True, scan=1):
    return Field(number, name or format_field_name(ra, dec), ra % 360, dec, scan, target)


def summary_of(fields=(), antennas=(), scans=()):
    return MeasurementSetSummary(
        "x.ms", "EVLA", "", "", 1, 1, (), ("RR", "RL", "LR", "LL"), 0.45, 0.0, 1.0, (), 18,
        tuple(fields), tuple(antennas), tuple(scans),
    )  # fmt: skip


def antennas_of(*diameters):
    return [Antenna(number, f"ea{number:02d}", diameter) for number, diameter in enumerate(diameters)]


@pytest.mark.slow
@settings(deadline=None)
@given(
    st.floats(0, 360, exclude_max=True),
    st.floats(-89, 89),
    st.lists(st.tuples(st.floats(-1.2, 1.2), st.floats(-1.2, 1.2)), max_size=20),
    st.floats(10, 4000),
)
def test_boxes_are_those_of_astropy(ra0, dec0, offsets, half_width):
    frame = SkyCoord(ra0, dec0, unit="deg").skyoffset_frame()
    fields = []
    expected = []
    for number, (lon, lat) in enumerate(offsets):
        if min(abs(abs(lon) * 3600 - half_width), abs(abs(lat) * 3600 - half_width)) < 1e-3:
            continue  # on the edge to rounding
        position = SkyCoord(lon * u.deg, lat * u.deg, frame=frame).icrs
        fields.append(field(number, position.ra.deg, position.dec.deg))
        if abs(lon) * 3600 < half_width and abs(lat) * 3600 < half_width:
            expected.append(number)
    assert selection.fields_in_box(fields, (ra0, dec0), half_width) == tuple(expected)


def test_the_edge_is_outside():
    fields = [field(number, 0, offset / 3600) for number, offset in enumerate((0, 1799.999, 1800, 1800.001))]
    assert selection.fields_in_box(fields, (0, 0), 1800.0) == (0, 1)
    fields = [field(number, offset / 3600, 0) for number, offset in enumerate((0, -1799.999, -1800, 1800))]
    assert selection.fields_in_box(fields, (0, 0), 1800.0) == (0, 1)


def test_only_target_fields_with_vlass_names():
    ra, dec = 12.501525, -2.5
    fields = [
        field(5, ra, dec),
        field(3, ra, dec, name='"0050003-023000"'),
        field(4, ra, dec, name="T32t02.NCP"),
        field(6, ra, dec, name="J0050-0230"),
        field(7, ra, dec, target=False),
        field(8, ra + 1, dec),
    ]
    assert selection.fields_in_box(fields, CENTRE, 2800.0) == (3, 4, 5)
    assert selection.fields_in_box(fields, CENTRE, (3601.0, 5.0)) == (3, 4, 5, 8)
    assert selection.fields_in_box([], CENTRE, 2800.0) == ()


def test_fields_of_a_released_image():
    # Rows 7.2' apart, steps of 12.435 s along the row, at -16 deg: 13 rows of 31 are in the box of 2 x 2800".
    step = 15 * 12.435 / 3600
    fields = [
        field(row * 1000 + column, 221.84 + (column - 40) * step, -16 + (row - 10) * 0.12)
        for row in range(21)
        for column in range(81)
    ]
    chosen = selection.fields_in_box(fields, (221.84, -16.0), selection.field_box_half_widths()[0])
    assert len({number // 1000 for number in chosen}) == 13
    assert 13 * 30 <= len(chosen) <= 13 * 32


def test_half_widths():
    assert selection.field_box_half_widths() == (2800, 2800)
    assert selection.field_box_half_widths(0.0) == (1800, 1800)
    assert selection.field_box_half_widths(500.0, (1000, 500), 0.5) == (250, 125)


def test_antennas():
    assert selection.majority_antennas(antennas_of(25, 25.0, 25.001)) == "0,1,2&"
    assert selection.majority_antennas(antennas_of(25, 12, 25)) == "0,2&"
    assert selection.majority_antennas(antennas_of(12, 25)) == "1&"
    with pytest.raises(MeasurementSetError):
        selection.majority_antennas([])


def test_scans_and_intents():
    plain = "OBSERVE_TARGET#UNSPECIFIED"
    scans = [
        Scan(9, 0, 1, (plain,)),
        Scan(3, 0, 1, (plain,)),
        Scan(4, 0, 1, ("CALIBRATE_PHASE#UNSPECIFIED",)),
        Scan(6, 0, 1, (plain,)),
    ]
    fields = [field(1, 0, 0, scan=3), field(2, 0, 0, scan=6), field(3, 0, 0, scan=-1)]
    summary = summary_of(fields, antennas_of(25, 25), scans)
    assert selection.target_scans(summary, {1}) == (3, 6, 9)
    assert selection.target_scans(summary, {2}) == (6, 9)
    assert selection.target_scans(summary, ()) == (3, 6, 9)
    chosen = selection.data_selection(summary, (2, 1), "4,3")
    assert (chosen.field, chosen.spw, chosen.antenna, chosen.scan, chosen.intent, chosen.uvrange) == (
        "1,2",
        "4,3",
        "0,1&",
        "3,6,9",
        plain,
        "<12km",
    )
    hostile = summary_of(fields, antennas_of(25), [Scan(1, 0, 1, ("OBSERVE_TARGET#X'; DROP",))])
    assert selection.target_intent(hostile) == "*OBSERVE_TARGET*"


def test_nothing_selected_is_not_everything():
    summary = summary_of([], antennas_of(25))
    with pytest.raises(MeasurementSetError, match="target field"):
        selection.data_selection(summary, (), "2")
    with pytest.raises(MeasurementSetError, match="spectral window"):
        selection.data_selection(summary, (1,), "")


def test_mean_frequency():
    windows = [SpectralWindow(n, "", 2.028e9 + 128e6 * (n - 2), 128e6, 2e6, 64, 1) for n in range(2, 18)]
    assert selection.spw_group_mean_frequency_hz(windows, [10]) == 3.052e9
    assert selection.spw_group_mean_frequency_hz(windows, [2, 3, 4]) == 2.156e9
    for wrong in ([1], [], [2, 99]):
        with pytest.raises(MeasurementSetError):
            selection.spw_group_mean_frequency_hz(windows, wrong)


@given(st.integers(1, 30_000))
def test_optimum_sizes(n):
    def smooth(size):
        for prime in (2, 3, 5):
            while size % prime == 0:
                size //= prime
        return size == 1

    size = selection.optimum_size(n)
    assert size == next(value for value in range(n, 2 * n + 3) if value % 2 == 0 and smooth(value))


def test_sizes_in_use():
    assert [selection.optimum_size(n) for n in (12500, 16384, 1, 11, 12501)] == [12500, 16384, 2, 12, 12800]


@pytest.mark.casa
def test_optimum_sizes_are_those_of_casa():
    from vlasscube import casa

    utils = casa.tools().synthesisutils()
    for n in (*range(2, 300), 1023, 6202, 8191, 12289, 12501):
        assert selection.optimum_size(n) == utils.getOptimumSize(n)


def test_size_for_a_cutout():
    # 1.22 * 0.149896 m / 25 m = 1508.8"; three quarters of it are 1886 pixels of 0.6".
    assert selection.cutout_image_size(1000, 0.6, 2.0e9) == selection.optimum_size(1000 + 2 * 1887)
