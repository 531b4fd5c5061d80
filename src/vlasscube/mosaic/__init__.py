"""A library that images mosaics of the VLA by A-projection: arrays in, arrays out.

It knows nothing of files, CASA, or the workflow.

* `ImageGrid` says what is imaged, `Visibilities` (`SpectralWindowData`, `VisibilityField`) with which data,
  `ImagerSettings` how they are weighted and gridded.
* `MosaicImager` makes the psf, the primary beam, the dirty image, and the residual of a model.
* `clean` finds a model within a mask (`pb_mask`, `user_mask`, `full_mask`), controlled by `CleanControl`, and
  changes the images of a `CleanState`.
* `fit_beam` and `restore` make the restored image; `imaging_bytes` says what memory all this takes.

A complete example is in the documentation: "The imaging engine", section "Using the imager by itself".
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vlasscube.mosaic.clean_loop import CleanOutcome, CleanState, clean
    from vlasscube.mosaic.grid import ImageGrid
    from vlasscube.mosaic.imager import ImagerSettings, MosaicImager
    from vlasscube.mosaic.iteration_control import CleanControl
    from vlasscube.mosaic.masks import full_mask, pb_mask, user_mask
    from vlasscube.mosaic.memory import imaging_bytes
    from vlasscube.mosaic.primary_beam import evla_power_beam
    from vlasscube.mosaic.restoration import fit_beam, restore
    from vlasscube.mosaic.visibilities import (
        ObservationInfo,
        SpectralWindowData,
        Visibilities,
        VisibilityField,
    )
    from vlasscube.mosaic.weighting import UvTaper

__all__ = [
    "CleanControl",
    "CleanOutcome",
    "CleanState",
    "ImageGrid",
    "ImagerSettings",
    "MosaicImager",
    "ObservationInfo",
    "SpectralWindowData",
    "UvTaper",
    "Visibilities",
    "VisibilityField",
    "clean",
    "evla_power_beam",
    "fit_beam",
    "full_mask",
    "imaging_bytes",
    "pb_mask",
    "restore",
    "user_mask",
]

_MODULES = {
    "CleanControl": "iteration_control",
    "CleanOutcome": "clean_loop",
    "CleanState": "clean_loop",
    "ImageGrid": "grid",
    "ImagerSettings": "imager",
    "MosaicImager": "imager",
    "ObservationInfo": "visibilities",
    "SpectralWindowData": "visibilities",
    "UvTaper": "weighting",
    "Visibilities": "visibilities",
    "VisibilityField": "visibilities",
    "clean": "clean_loop",
    "evla_power_beam": "primary_beam",
    "fit_beam": "restoration",
    "full_mask": "masks",
    "imaging_bytes": "memory",
    "pb_mask": "masks",
    "restore": "restoration",
    "user_mask": "masks",
}


def __getattr__(name: str) -> Any:
    # Estimates ask for the memory of the imager before anybody needs SciPy.
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
