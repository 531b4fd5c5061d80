import dataclasses

from vlasscube.simulation.comparison import SourceMeasurement, assess
from vlasscube.simulation.sky import Source


def measurement(name, ratio, **properties):
    return SourceMeasurement(
        source=Source(name, 150.0, 30.0, 1.0, **properties),
        label="spw2",
        frequency_hz=3.0e9,
        measured=(ratio, 0.0, 0.0, 0.0),
        true=(1.0, 0.0, 0.0, 0.0),
        rms=(0.001, 0.001, 0.001, 0.001),
        offset_pixels=(0.0, 0.0),
        pb=0.9,
        in_masks=True,
        position_noise_pixels=0.001,
    )


def test_only_sources_of_the_mosaic_are_judged():
    good = measurement("S01", 1.0)
    others = [measurement(kind, 0.5, kind=kind) for kind in ("double", "outside", "sidelobe")]
    result = assess([good, *others])
    assert (result.source_count, result.mean_i_ratio, result.misses) == (1, 1.0, ())
    bad = dataclasses.replace(others[0], source=dataclasses.replace(others[0].source, kind="field"))
    assert any("I is 0.5000" in miss for miss in assess([good, bad]).misses)
