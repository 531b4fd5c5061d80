"""What is asked of an engine arrives there."""

import inspect

from vlasscube.imaging import mosaic_engine
from vlasscube.imaging.engines import imaging_engine


def test_all_settings_reach_the_engine(monkeypatch):
    arrived = {}
    monkeypatch.setattr(mosaic_engine, "MosaicEngine", lambda **settings: arrived.update(settings))
    names = [name for name in inspect.signature(imaging_engine).parameters if name != "name"]
    imaging_engine("mosaic", **{name: f"value of {name}" for name in names})
    assert arrived == {name: f"value of {name}" for name in names}
