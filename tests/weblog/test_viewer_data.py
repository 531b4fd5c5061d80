from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from vlasscube.weblog.viewer_data import encode_array, index_script, script

from .viewer_decoder import decode, received

SHAPES = array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)
VALUES = st.floats(width=32, allow_nan=True, allow_infinity=True, allow_subnormal=False)


@settings(max_examples=200, deadline=None)
@given(arrays(np.float32, SHAPES, elements=VALUES), st.floats(1e-9, 1e9))
def test_values_to_half_a_step(values: np.ndarray, step: float) -> None:
    encoded = encode_array(values, step)
    assert encoded["step"] >= step
    decoded = decode(encoded)
    good = np.isfinite(values)
    assert (np.isfinite(decoded) == good).all()
    off = np.abs(decoded[good] - values[good].astype(np.float64))
    assert (off <= 0.5001 * encoded["step"] + 1e-12 * np.abs(values[good])).all()


def test_step_is_kept_where_values_allow_it() -> None:
    values = np.array([[1.0, -200.0, np.nan]], dtype=np.float32)
    assert encode_array(values, 1e-5)["step"] == 1e-5


def test_smooth_arrays_are_stored_as_differences() -> None:
    y, x = np.mgrid[:64, :64]
    smooth = np.exp(-((x - 30.0) ** 2 + (y - 30.0) ** 2) / 3000).astype(np.float32)
    noise = np.random.default_rng(1).normal(size=(64, 64)).astype(np.float32)
    assert encode_array(smooth, 1e-4)["filter"] == "difference"
    assert encode_array(noise, 0.1)["filter"] == "none"


@pytest.mark.parametrize("fill", [np.nan, 0.0, 7.0])
def test_flat_arrays_are_tiny(fill: float) -> None:
    encoded = encode_array(np.full((300, 200), fill, dtype=np.float32), 1.0)
    assert len(encoded["data"]) < 1200
    assert encoded["bytes"] == 1


def test_scripts_are_inert() -> None:
    hostile = '\u2028</script>"); alert(1); ("\\'
    text = script(hostile, {"caption": hostile})
    assert text.isascii()
    name, _ = json.JSONDecoder().raw_decode(text.removeprefix("vlasscube.receive("))
    assert name == hostile
    assert index_script({"image_name": hostile}).isascii()


def test_no_invalid_numbers(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        script("a", {"low": float("nan")})
    path = tmp_path / "a.js"
    path.write_text(script("a/b.I", {"low": 1.5}))
    assert received(path) == ("a/b.I", {"low": 1.5})
