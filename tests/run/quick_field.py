"""A simulated field that is made quickly: the continuum run is not imaged, its model is the truth."""

from __future__ import annotations

from typing import Any

QUICK_FIELD: dict[str, Any] = {
    "science_spws": (2, 3),
    "rfi_spws": (),
    "imsize": (128, 128),
    "continuum_model": "truth",
    "continuum_predict": "direct",
    "keep_final_state": False,
}
"""Changes to the preset ``tiny``."""
