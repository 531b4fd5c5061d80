"""Arrays as files that a page opened from disk can read.

A page from ``file://`` may load scripts and show pictures, but neither fetch files nor read the pixels of a
picture. So pixel values come as scripts, each handing one array to the viewer: quantised, deflated, base64.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int32]

_LARGEST_CODE = 1 << 30
_DEFLATE_LEVEL = 3
"""Noise does not get smaller by more effort."""


def encode_array(values: FloatArray, step: float) -> dict[str, Any]:
    """Encode an array for the viewer.

    Values are rounded to multiples of ``step``. The multiples, zigzag-coded so that small ones of either
    sign are small codes, with 0 for "no value", are stored byte plane by byte plane (the least significant
    first) and deflated (RFC 1950). Where it is smaller, a row holds differences from its previous value.

    Parameters
    ----------
    values : ndarray of float32, shape (height, width)
        First row southernmost; NaN where there is no value.
    step : float
        Positive; made larger if the largest value needs it.

    Returns
    -------
    dict
        ``width``, ``height``, ``step``, ``bytes`` per sample, ``filter`` (``none`` or ``difference``) and
        ``data``.
    """
    good = np.isfinite(values)
    filled = np.where(good, values, np.float32(0)).astype(np.float64)
    # Differences can be twice as large, their codes four times.
    step = max(step, 4 * float(np.abs(filled).max(initial=0.0)) / _LARGEST_CODE)
    multiples = np.rint(filled / step).astype(np.int32)
    differences = _row_differences(multiples, good)
    # Deflate's result goes with the number of bits that matter.
    name, chosen = min(
        (("none", multiples), ("difference", differences)), key=lambda pair: _bits(pair[1][good])
    )
    coded = _code_bytes(chosen, good)
    return {
        "width": values.shape[1],
        "height": values.shape[0],
        "step": step,
        "bytes": len(coded) // max(values.size, 1),
        "filter": name,
        "data": base64.b64encode(zlib.compress(coded, _DEFLATE_LEVEL)).decode("ascii"),
    }


def _row_differences(multiples: IntArray, good: npt.NDArray[np.bool_]) -> IntArray:
    """Each valid value less the valid one before it in its row."""
    columns = np.arange(1, multiples.shape[1] + 1)
    last = np.maximum.accumulate(np.where(good, columns, 0), axis=1)
    before = np.concatenate([np.zeros((multiples.shape[0], 1), last.dtype), last[:, :-1]], axis=1)
    padded = np.concatenate([np.zeros((multiples.shape[0], 1), np.int32), multiples], axis=1)
    result: IntArray = multiples - np.take_along_axis(padded, before, axis=1)
    return result


def _bits(multiples: IntArray) -> float:
    """Mean number of bits of the values, but for a constant."""
    sizes = np.abs(multiples).astype(np.float32)
    return float(np.log2(sizes + 1).mean()) if multiples.size else 0.0


def _code_bytes(multiples: IntArray, good: npt.NDArray[np.bool_]) -> bytes:
    zigzag = np.where(multiples < 0, -2 * multiples - 1, 2 * multiples)
    codes = np.where(good, zigzag + 1, 0).astype("<u4")
    count = max(1, (int(codes.max(initial=0)).bit_length() + 7) // 8)
    planes = np.ascontiguousarray(codes).view(np.uint8).reshape(-1, 4)[:, :count].T
    return planes.tobytes()


def script(name: str, content: Mapping[str, Any]) -> str:
    """Text of a file that hands something to the viewer under a name."""
    # ASCII throughout: whatever the page's encoding, and no line separators that end a string.
    return f"vlasscube.receive({_json(name)}, {_json(content)});\n"


def index_script(index: Mapping[str, Any]) -> str:
    """Text of the file that tells the viewer what there is."""
    return f"vlasscube.index = {_json(index)};\n"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
