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

from vlasscube import _kernels

FloatArray = npt.NDArray[np.float32]

_LARGEST_CODE = 1 << 30


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
    finite = values[np.isfinite(values)]
    largest = max(float(finite.max(initial=0.0)), -float(finite.min(initial=0.0)))
    # Differences can be twice as large, their codes four times.
    step = max(step, 4 * largest / _LARGEST_CODE)
    coded, count, are_differences = _kernels.encode_samples(np.ascontiguousarray(values, np.float32), step)
    return {
        "width": values.shape[1],
        "height": values.shape[0],
        "step": step,
        "bytes": count,
        "filter": "difference" if are_differences else "none",
        "data": base64.b64encode(_deflated(coded)).decode("ascii"),
    }


def _deflated(content: bytes) -> bytes:
    # Noise does not repeat itself, blank areas do: runs are all that is worth looking for.
    deflate = zlib.compressobj(level=1, strategy=zlib.Z_RLE)
    return deflate.compress(content) + deflate.flush()


def script(name: str, content: Mapping[str, Any]) -> str:
    """Text of a file that hands something to the viewer under a name."""
    # ASCII throughout: whatever the page's encoding, and no line separators that end a string.
    return f"vlasscube.receive({_json(name)}, {_json(content)});\n"


def index_script(index: Mapping[str, Any]) -> str:
    """Text of the file that tells the viewer what there is."""
    return f"vlasscube.index = {_json(index)};\n"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
