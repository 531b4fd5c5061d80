"""Bring a working measurement set into the state of the continuum run's final imaging.

Model, flags, weights and self-calibration, in the order that production used: the model is predicted with the
initial flags and weights, which enter the flat-noise normalisation of the prediction.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vlasscube import casa
from vlasscube.parameters.quantities import format_angle_arcsec
from vlasscube.records import DataSelection, ImageGeometry
from vlasscube.workspace.files import remove

INITIAL_FLAGS = "hifv_restorepims_initial"
CONTINUUM_FLAGS = "statwt_1"
RESTORED_FLAGS = "vlasscube_restored"
"""Flag version saved when the state is restored, so that later flagging can be done again."""
WEIGHT_SCATTER = {"combine": "field,scan,state,corr", "chanbin": 1, "timebin": "1yr", "flagbackup": False}
"""What the weights of `restore_weights` are the scatter over, as statwt takes it."""


def save_flags(ms: Path, version: str, comment: str) -> None:
    """Save the flags as a version."""
    casa.run_task(
        "flagmanager", vis=str(ms), mode="save", versionname=version, comment=comment, merge="replace"
    )


def saved_flags(ms: Path, version: str) -> Path:
    """Path of the table of a flag version."""
    return ms.with_name(f"{ms.name}.flagversions") / f"flags.{version}"


def restore_flags(ms: Path, version: str) -> None:
    """Restore a flag version."""
    casa.run_task("flagmanager", vis=str(ms), mode="restore", versionname=version)


def drop_virtual_model(ms: Path) -> None:
    """Delete a virtual model, which would shadow the model column."""
    with casa.table(ms) as table:
        source = table.getkeyword("SOURCE") if "SOURCE" in table.keywordnames() else ""
    if not source:
        return
    with casa.table(ms / "SOURCE") as table:
        has_model = "SOURCE_MODEL" in table.colnames()
    if has_model:
        casa.run_task("delmod", vis=str(ms), otf=True, scr=False)


def continuum_prediction_arguments(
    ms: Path,
    imagename: Path,
    selection: DataSelection,
    geometry: ImageGeometry,
    *,
    robust: float,
    uvtaper: Sequence[str],
    nterms: int,
    reffreq: str,
    pblimit: float,
) -> dict[str, Any]:
    """Return the arguments that the two tclean calls of the model prediction share."""
    return {
        "vis": str(ms),
        "imagename": str(imagename),
        "datacolumn": "data",
        "field": selection.field,
        "spw": selection.spw,
        "antenna": selection.antenna,
        "scan": selection.scan,
        "intent": selection.intent,
        "uvrange": selection.uvrange,
        "specmode": "mfs",
        "gridder": "mosaic",
        "wprojplanes": 1,
        "mosweight": False,
        "conjbeams": False,
        "usepointing": False,
        "pblimit": pblimit,
        "normtype": "flatnoise",
        "imsize": [geometry.nx, geometry.ny],
        "cell": format_angle_arcsec(geometry.cell_arcsec),
        "phasecenter": geometry.phasecenter,
        "stokes": "I",
        "weighting": "briggs",
        "robust": robust,
        "uvtaper": list(uvtaper),
        "deconvolver": "mtmfs",
        "nterms": nterms,
        "reffreq": reffreq,
        "niter": 0,
        "threshold": "0.0mJy",
        "nsigma": 2.0,
        "restoration": False,
        "pbcor": False,
        "calcres": False,
        "parallel": False,
    }


def predict_model(ms: Path, models: Sequence[Path], scratch: Path, arguments: dict[str, Any]) -> None:
    """Fill MODEL_DATA with the continuum run's model.

    Parameters
    ----------
    ms : Path
        Working measurement set.
    models : sequence of Path
        Model images, one for each Taylor term, names ending in ``.model.tt<N>``.
    scratch : Path
        Empty directory for the images made on the way.
    arguments : dict
        From `continuum_prediction_arguments`, with ``imagename`` in ``scratch``.
    """
    root = Path(arguments["imagename"])
    casa.run_task("tclean", **arguments, calcpsf=True, savemodel="none")
    for model in models:
        target = root.with_name(f"{root.name}.model.{model.name.rsplit('.', 1)[-1]}")
        # Not startmodel=: another latpole in the model's header would make tclean regrid it (CAS-13338).
        remove(target)
        shutil.copytree(model, target)
    casa.run_task("tclean", **arguments, calcpsf=False, savemodel="modelcolumn")


def restore_weights(ms: Path) -> None:
    """Weights from the scatter of the residual data, per baseline, spectral window and channel."""
    casa.run_task(
        "statwt",
        vis=str(ms),
        datacolumn="residual_data",
        **WEIGHT_SCATTER,
    )


def apply_selfcal(ms: Path, table: Path, lowest_science_spw: int, spw_count: int) -> None:
    """Apply the phase self-calibration, made with all spectral windows combined, to CORRECTED_DATA."""
    casa.run_task(
        "applycal",
        vis=str(ms),
        gaintable=str(table),
        interp=["nearest"],
        spwmap=[[lowest_science_spw] * spw_count],
        parang=False,
        applymode="calonly",
        calwt=False,
        flagbackup=False,
    )
