"""Tracks of fields, beside rows whose pointings are known; and what the moving beam does to fluxes."""

from dataclasses import replace

import numpy as np
import pytest

from vlasscube.mosaic.grid import locate_pointings
from vlasscube.mosaic.imager import ImagerSettings, MosaicImager
from vlasscube.mosaic.primary_beam import evla_power_beam
from vlasscube.mosaic.scan_tracks import scan_tracks
from vlasscube.simulation.layout import pointings
from vlasscube.simulation.presets import preset
from vlasscube.testing import observations
from vlasscube.testing.observations import C, axes, direction, image_grid

ARCMIN = np.radians(1 / 60)
LARGEST = 7 * ARCMIN


def tracks_of(fields, *, times=None, largest=LARGEST, ra_deg=None, dec_deg=None):
    """Tracks of the fields of a simulated mosaic, on an image at its centre, and the image's positions."""
    grid = image_grid(ra_deg=ra_deg, dec_deg=dec_deg)
    on_image = locate_pointings(grid, [f.ra_rad for f in fields], [f.dec_rad for f in fields])
    time = np.concatenate([f.times_mjd_s if times is None else times[i] for i, f in enumerate(fields)])
    number = np.concatenate([np.full(len(f.times_mjd_s), i) for i, f in enumerate(fields)])
    # Three baselines, the dumps in any order.
    order = np.random.default_rng(3).permutation(3 * time.size)
    time, number = np.repeat(time, 3)[order], np.repeat(number, 3)[order]
    x, y = on_image.pixel_x * grid.cell_rad, on_image.pixel_y * grid.cell_rad
    return scan_tracks(time, number, x, y, largest)


def mosaic(**changes):
    p = preset("tiny", **changes)
    return pointings(p), dict(ra_deg=p.ra_deg, dec_deg=p.dec_deg)


@pytest.mark.parametrize("dec_deg", [-35.0, 0.0, 34.0, 60.0])
def test_rows_along_right_ascension_have_one_track(dec_deg):
    fields, centre = mosaic(dec_deg=dec_deg, rows=5, fields_per_row=9)
    (track,) = tracks_of(fields, **centre)
    assert track.length_rad / ARCMIN == pytest.approx(2.98, rel=4e-3)
    assert abs(track.position_angle_deg - 90) < 0.2
    assert track.pointings.all()


def test_the_track_is_the_way_between_the_first_and_the_last_dump_and_half_a_dump_at_either_end():
    fields, centre = mosaic(dumps_per_field=4)
    (track,) = tracks_of(fields, **centre)
    first, *_, last = fields[3].dump_directions_rad
    way = np.hypot((last[0] - first[0]) * np.cos(fields[3].dec_rad), last[1] - first[1])
    assert track.length_rad == pytest.approx(way * 4 / 3, rel=4e-3)


def test_rows_near_the_pole_have_tracks_of_several_directions():
    fields, centre = mosaic(dec_deg=85.0, rows=5, fields_per_row=61)
    tracks = tracks_of(fields, **centre)
    assert len(tracks) > 3
    assert np.all(np.sum([track.pointings for track in tracks], axis=0) == 1)
    grid = image_grid(**centre)
    located = locate_pointings(grid, [f.ra_rad for f in fields], [f.dec_rad for f in fields])
    for track in tracks:
        assert track.length_rad / ARCMIN == pytest.approx(2.98, rel=1e-2)
        for number in np.flatnonzero(track.pointings):
            # Along RA at the field, in the image's plane.
            east = located.rotation[number] @ [1.0, 0.0]
            angle = np.degrees(np.arctan2(east[0], east[1])) - track.position_angle_deg
            assert abs((angle + 90) % 180 - 90) < 6


@pytest.mark.parametrize(
    ("changes", "largest"),
    [
        ({"rows": 3, "fields_per_row": 1}, LARGEST),
        ({"rows": 2, "fields_per_row": 6}, 2.9 * ARCMIN),
        ({"rows": 1, "fields_per_row": 1}, LARGEST),
    ],
)
def test_what_are_no_rows_has_no_track(changes, largest):
    fields, centre = mosaic(**changes)
    assert tracks_of(fields, largest=largest, **centre) == ()


def test_pointings_with_pauses_between_them_have_no_track():
    fields, centre = mosaic(rows=2, fields_per_row=6)
    times = [np.array(f.times_mjd_s) + 7.0 * number for number, f in enumerate(fields)]
    assert tracks_of(fields, times=times, **centre) == ()


def test_a_missing_dump_and_a_missing_field_change_little():
    fields, centre = mosaic(rows=3, fields_per_row=8)
    fields = [f for number, f in enumerate(fields) if number != 11]
    fields[4] = replace(fields[4], times_mjd_s=fields[4].times_mjd_s[:1])
    (track,) = tracks_of(fields, **centre)
    assert track.length_rad / ARCMIN == pytest.approx(2.98, rel=4e-3)
    assert track.pointings.all()


def test_a_field_alone_among_rows_has_the_track_of_its_neighbour():
    fields, centre = mosaic(rows=3, fields_per_row=6)
    (track,) = tracks_of([*fields[:12], fields[14]], **centre)
    assert track.pointings.all()


def test_fields_seen_to_and_fro_have_the_track_of_either():
    fields, centre = mosaic(rows=1, fields_per_row=6)
    later = fields[-1].times_mjd_s[-1] + 30.0
    back = [
        replace(f, times_mjd_s=tuple(later + time - fields[0].times_mjd_s[0] for time in g.times_mjd_s))
        for f, g in zip(reversed(fields), fields, strict=True)
    ]
    numbers = [*range(6), *reversed(range(6))]
    grid = image_grid(**centre)
    located = locate_pointings(grid, [f.ra_rad for f in fields], [f.dec_rad for f in fields])
    time = np.concatenate([f.times_mjd_s for f in (*fields, *back)])
    x, y = located.pixel_x * grid.cell_rad, located.pixel_y * grid.cell_rad
    (track,) = scan_tracks(time, np.repeat(numbers, 2), x, y, LARGEST)
    assert track.length_rad / ARCMIN == pytest.approx(2.98, rel=4e-3)


def test_nothing_observed_has_no_track():
    assert scan_tracks(np.zeros(0), np.zeros(0, int), np.zeros(2), np.zeros(2), LARGEST) == ()


# --------------------------------------------------------------------------------------------------- fluxes

DUMPS = 8


def scanned(grid, source, angle_deg, *, spacing=2.98, rows=(0.0,), **settings):
    """Observe a source in rows of seven fields at a position angle, the antennas moving at each dump."""
    angle = np.radians(angle_deg)
    along, across = np.array([np.sin(angle), np.cos(angle)]), np.array([np.cos(angle), -np.sin(angle)])
    steps = np.arange(-3, 4) * spacing
    centres = [tuple(step * along + row * across) for row in rows for step in steps]
    seen = observations.observe(grid, pointings=centres, dumps=DUMPS, channels=2, size_m=250.0, **settings)
    (window,) = seen.spectral_windows
    data = np.zeros_like(window.data)
    towards = direction(grid, *source)
    baselines = window.rows // (len(centres) * DUMPS)
    time = np.empty(window.rows)
    for number, field in enumerate(seen.fields):
        east, north, centre = axes(field)
        frequency = window.channel_frequency_hz * field.lsrk_factor
        lmn = np.array([towards @ east, towards @ north, towards @ centre - 1])
        for dump in range(DUMPS):
            part = slice((number * DUMPS + dump) * baselines, (number * DUMPS + dump + 1) * baselines)
            s = ((dump + 0.5) / DUMPS - 0.5) * spacing * ARCMIN * along
            pointed = centre + s[0] * east + s[1] * north
            radius = np.arccos(np.clip(towards @ pointed / np.linalg.norm(pointed), -1, 1))
            beam = evla_power_beam(np.full(frequency.size, radius / ARCMIN), frequency)
            phase = 2 * np.pi * (window.uvw_m[part] @ lmn)[:, None] * frequency / C
            data[part] = (beam * np.exp(1j * phase))[..., None] * [1, 0, 0, 1]
            time[part] = 5.1e9 + 0.1 * (number * DUMPS + dump) + 10 * (number // 7)
    return replace(seen, spectral_windows=(replace(window, data=data, time_mjd_s=time),))


def flux_and_beam(grid, visibilities, source, **settings):
    settings = ImagerSettings(robust=9.0, threads=2, gridding="exact", **settings)
    imager = MosaicImager(grid, visibilities, settings)
    weight = imager.weight_image()
    dirty = np.empty((4, *grid.shape), dtype=np.float32)
    imager.residual(None, weight, dirty)
    pb = imager.primary_beam(weight)
    x, y = source
    model = np.zeros_like(dirty)
    model[0, y, x] = pb[y, x]
    left = np.empty_like(dirty)
    imager.residual(model, weight, left)
    return dirty[0, y, x] / pb[y, x], pb[y, x], left[0, y, x] / pb[y, x], imager


@pytest.mark.parametrize("angle_deg", [90.0, 0.0, 40.0, -40.0])
def test_the_smeared_beam_gives_the_flux_of_a_source_seen_by_a_moving_beam(angle_deg):
    grid = image_grid()
    # 6 arcmin east and 6 arcmin north of the centre of the row.
    source = 90, 130
    seen = scanned(grid, source, angle_deg)
    field_flux, pb, *_ = flux_and_beam(grid, seen, source)
    flux, _, left, imager = flux_and_beam(grid, seen, source, otf_beam="smeared")
    (track,) = imager.tracks
    print(angle_deg, "pb", pb, "field", field_flux - 1, "smeared", flux - 1, "left", left)
    assert track.length_rad / ARCMIN == pytest.approx(2.98, rel=1e-3)
    assert (track.position_angle_deg - angle_deg + 90) % 180 == pytest.approx(90, abs=0.2)
    assert 0.004 < 1 - field_flux < 0.012
    assert flux == pytest.approx(1, abs=1e-3)
    assert abs(left) < 1e-3


def test_the_weight_image_has_the_squares_of_the_mean_beams():
    grid = image_grid()
    seen = scanned(grid, (120, 100), 40.0)
    imager = MosaicImager(
        grid, seen, ImagerSettings(robust=9.0, threads=2, gridding="exact", otf_beam="smeared")
    )
    weight_image = imager.weight_image()
    x, y = np.array([120, 100, 150, 95, 130]), np.array([100, 120, 120, 100, 70])
    (window,) = seen.spectral_windows
    way = 2.98 * ARCMIN * np.array([np.sin(np.radians(40.0)), np.cos(np.radians(40.0))])
    expected = np.zeros(x.size)
    for number, field in enumerate(seen.fields):
        east, north, centre = axes(field)
        frequency = window.channel_frequency_hz * field.lsrk_factor
        beam = np.zeros((x.size, frequency.size))
        places = (np.arange(40) + 0.5) / 40 - 0.5
        for place in places:
            pointed = centre + place * (way[0] * east + way[1] * north)
            pointed /= np.linalg.norm(pointed)
            radius = np.arccos(np.clip(direction(grid, x, y) @ pointed, -1, 1)) / ARCMIN
            beam += evla_power_beam(radius[:, None], frequency) / places.size
        expected += beam**2 @ window.weight[window.field_index == number].sum(axis=0)
    np.testing.assert_allclose(weight_image[y, x], expected / window.weight.sum(), rtol=2e-3)
    np.testing.assert_allclose(
        imager.primary_beam(weight_image)[y, x], np.sqrt(weight_image[y, x] / weight_image.max()), rtol=1e-6
    )


def test_rows_of_two_directions_have_beams_of_two_directions():
    grid, source = image_grid(), (100, 120)
    one, other = scanned(grid, source, 90.0), scanned(grid, source, 30.0)
    (first,), (second,) = one.spectral_windows, other.spectral_windows
    count = len(one.fields)
    parts = {
        name: np.concatenate([getattr(first, name), getattr(second, name)])
        for name in ("row", "uvw_m", "antenna1", "antenna2", "data", "usable", "weight")
    }
    both = replace(
        first,
        field_index=np.concatenate([first.field_index, second.field_index + count]).astype(np.int32),
        time_mjd_s=np.concatenate([first.time_mjd_s, second.time_mjd_s + 100]),
        **parts,
    )
    seen = replace(one, spectral_windows=(both,), fields=(*one.fields, *other.fields))
    flux, _, left, imager = flux_and_beam(grid, seen, source, otf_beam="smeared")
    assert [track.pointings.tolist() for track in imager.tracks] in (
        [[True] * count + [False] * count, [False] * count + [True] * count],
        [[False] * count + [True] * count, [True] * count + [False] * count],
    )
    assert flux == pytest.approx(1, abs=1e-3)
    assert abs(left) < 1e-3
    still, *_ = flux_and_beam(grid, seen, source)
    assert still < 1 - 4e-3


def test_where_there_are_no_rows_the_beam_is_that_of_the_field():
    grid, source = image_grid(), (120, 130)
    seen = scanned(grid, source, 90.0, spacing=12.0)
    flux, *_ = flux_and_beam(grid, seen, source)
    smeared, *_, imager = flux_and_beam(grid, seen, source, otf_beam="smeared")
    assert imager.tracks == ()
    assert smeared == flux


def test_the_smeared_beam_takes_exact_kernels():
    with pytest.raises(ValueError, match="exact"):
        ImagerSettings(otf_beam="smeared")
