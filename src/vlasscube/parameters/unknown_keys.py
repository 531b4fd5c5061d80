"""Keys that a parameter list cannot have: arguments of tclean, and slips of the pen."""

from __future__ import annotations

from vlasscube.parameters.values import CONVERTERS, nearest
from vlasscube.texts import shown

_INSTEAD = {
    "vis": "the measurement set is the *.ms in the run directory, or the one given with --vis",
    "usemask": "the masks are those of the continuum run and of the primary beam; the key mask chooses them",
    "weighting": "weighting is Briggs', with the key robust",
    "pbcor": "images are always corrected for the primary beam, in stage 8",
}
"""What there is here in place of an argument."""

_NAMES = (
    "vis selectdata timerange antenna scan observation stokes projection startmodel outframe "
    "veltype interpolation perchanweightdensity facets psfphasecenter chanchunks vptable "
    "mosweight aterm psterm wbawp usepointing computepastep rotatepastep pointingoffsetsigdev "
    "normtype smallscalebias fusedthreshold largestscale restoration restoringbeam pbcor "
    "outlierfile weighting noise npixels gain minpsffraction maxpsffraction interactive "
    "fullsummary usemask sidelobethreshold noisethreshold lownoisethreshold negativethreshold "
    "smoothfactor minbeamfrac cutthreshold growiterations dogrowprune minpercentchange verbose "
    "fastnoise restart savemodel calcres calcpsf psfcutoff parallel polcal multiscale minpb "
    "modelimage ftmachine psfmode imagermode cyclespeedup interpmode spectralmode"
)
TCLEAN_ARGUMENTS = frozenset(_NAMES.split(" ")) - CONVERTERS.keys()
"""Arguments of tclean, and of clean before it, that are no keys of a parameter list."""


def unknown_key(key: str) -> str:
    """Say of a key that a parameter list cannot have what is to be done about it."""
    name = key.removeprefix("tclean(").strip("'\" ").lower()
    if name in TCLEAN_ARGUMENTS:
        instead = _INSTEAD.get(name, "")
        return (
            f"unknown key {shown(key)}: it is an argument of tclean, and this file takes the keys of "
            "hif_editimlist's parameter list, not tclean's arguments; take the line out"
            + (f" ({instead})" if instead else "")
        )
    if "(" in key:
        return f"{shown(key)} looks like the call of a task; write one key=value a line"
    return f"unknown key {shown(key)}{nearest(key, CONVERTERS)}"
