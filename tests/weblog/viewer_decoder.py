"""What the viewer makes of a file of values, written from the description of the format alone."""

from __future__ import annotations

import base64
import json
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np


def received(path: Path) -> tuple[str, dict[str, Any]]:
    """Name and content that a script hands to the viewer."""
    found = re.fullmatch(r'vlasscube\.receive\(("[^"]*"), (\{.*\})\);\n', path.read_text(encoding="ascii"))
    assert found is not None, path
    return json.loads(found[1]), json.loads(found[2])


def decode(array: dict[str, Any]) -> np.ndarray:
    """Values, sample by sample."""
    width, height, count = array["width"], array["height"], array["bytes"]
    stored = zlib.decompress(base64.b64decode(array["data"], validate=True))
    assert len(stored) == width * height * count
    values = np.full((height, width), np.nan)
    for row in range(height):
        before = 0
        for column in range(width):
            place = row * width + column
            code = sum(stored[k * width * height + place] << (8 * k) for k in range(count))
            if code == 0:
                continue
            zigzag = code - 1
            multiple = -(zigzag + 1) // 2 if zigzag % 2 else zigzag // 2
            if array["filter"] == "difference":
                multiple += before
                before = multiple
            values[row, column] = multiple * array["step"]
    return values
