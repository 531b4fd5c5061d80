"""The single-epoch continuum run on a simulated field: the calls of CASA that production makes, in its order.

This is what the workflow has to restore, so it is written down here on its own and shares no code with the
restore stage. For images too large to be cleaned, the model images come from the true sky and MODEL_DATA from
a direct sum; what is restored from these equals the run only within the accuracy of CASA's prediction.
"""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlasscube import casa
from vlasscube.errors import MeasurementSetError
from vlasscube.parameters.quantities import format_angle_arcsec
from vlasscube.simulation import continuum_images as images
from vlasscube.simulation.apparent_places import apparent_sources
from vlasscube.simulation.flag_patterns import antennas_without_solutions
from vlasscube.simulation.measurement_set import INTENT
from vlasscube.simulation.observation import Observation
from vlasscube.simulation.parameters import FieldSimulation
from vlasscube.simulation.sky import Source
from vlasscube.simulation.spectral_windows import SPW_COUNT, channel_frequencies_hz
from vlasscube.simulation.visibilities import predict
from vlasscube.workspace.files import remove

TARBALL = "reimaging_resources.tgz"
_STATE_COLUMNS = ("FLAG", "FLAG_ROW", "WEIGHT", "SIGMA", "WEIGHT_SPECTRUM", "MODEL_DATA", "CORRECTED_DATA")
_KEY_COLUMNS = ("DATA_DESC_ID", "FIELD_ID", "TIME", "ANTENNA1", "ANTENNA2")


@dataclass(frozen=True)
class ContinuumFiles:
    """Where the products of the continuum run are, named as in production."""

    directory: Path
    parameters: FieldSimulation

    def _image(self, stage: str, suffix: str) -> Path:
        return self.directory / f"s{stage}_0.{self.parameters.image_name('se')}.{suffix}"

    @property
    def ms(self) -> Path:
        """The continuum run's working measurement set."""
        return self.directory / self.parameters.working_ms

    @property
    def flag_versions(self) -> Path:
        """Saved flags of `ms`."""
        return self.directory / f"{self.parameters.working_ms}.flagversions"

    @property
    def selfcal_table(self) -> Path:
        """Phase self-calibration."""
        return self.directory / f"{self.parameters.working_ms}.hifv_selfcal.s8_1.phase-self-cal.tbl"

    @property
    def model_root(self) -> Path:
        """Image name of the first clean."""
        return self._image("5", "I.iter1")

    @property
    def models(self) -> tuple[Path, Path]:
        """Taylor terms 0 and 1 of the self-calibration model."""
        return self._image("5", "I.iter1.model.tt0"), self._image("5", "I.iter1.model.tt1")

    @property
    def tier1_mask(self) -> Path:
        """Mask from the quick-look catalogue."""
        return self._image("13", "QLcatmask-tier1.mask")

    @property
    def second_mask(self) -> Path:
        """Mask from the sources of the second image."""
        return self._image("12", "secondmask.mask")

    @property
    def combined_mask(self) -> Path:
        """Union of both masks."""
        return self._image("13", "combined-tier2.mask")


def run_continuum(
    input_ms: Path, directory: Path, observation: Observation, progress: Callable[[str, float], None]
) -> ContinuumFiles:
    """Process the measurement set as the continuum run does.

    Parameters
    ----------
    input_ms : Path
        The per-image measurement set; not modified.
    directory : Path
        Empty directory for the working measurement set and the products.
    observation : Observation
    progress : callable
        Called with what comes next and the fraction done.

    Returns
    -------
    ContinuumFiles
        With `ContinuumFiles.ms` in the final state of the run.
    """
    p = observation.parameters
    files = ContinuumFiles(directory, p)
    progress("split", 0.0)
    casa.run_task(
        "mstransform",
        vis=str(input_ms),
        outputvis=str(files.ms),
        field=_field_ids(observation),
        spw=p.spw_string,
        datacolumn="data",
        chanbin=1,
        timebin="0s",
        reindex=False,
    )
    casa.run_task("initweights", vis=str(files.ms), wtmode="nyq")
    template = _make_template(files, observation)
    seen = _sources_as_imaged(observation)
    _write_masks(files, observation, template, seen)
    progress("model", 0.05)
    if p.continuum_model == "clean":
        _clean(files, observation)
    else:
        images.write_true_models(files.models, p, template, seen, observation.pointings)
    progress("model visibilities", 0.6)
    if p.continuum_predict == "tclean":
        _predict(files, observation)
    else:
        _predict_directly(files.ms, observation)
    progress("flags and weights", 0.75)
    _flag(files.ms, observation)
    casa.run_task(
        "statwt",
        vis=str(files.ms),
        combine="field,scan,state,corr",
        chanbin=1,
        timebin="1yr",
        datacolumn="residual_data",
    )
    _save_flags(files.ms, "rfi_flagged_statwt", "after statwt")
    progress("self-calibration", 0.85)
    _selfcal(files, observation)
    return files


def _field_ids(observation: Observation) -> str:
    return ",".join(str(pointing.field_id) for pointing in observation.pointings)


def _make_template(files: ContinuumFiles, observation: Observation) -> Path:
    """A small image of the same data; its axes, but for the direction, are those of the continuum images."""
    root = files.directory / "template"
    arguments = _imaging_arguments(files, observation, root) | {
        "gridder": "standard",
        "imsize": [64, 64],
        "niter": 0,
        "restoration": False,
        "calcres": False,
    }
    casa.run_task("tclean", **arguments, calcpsf=True, savemodel="none")
    return Path(f"{root}.psf.tt0")


def _sources_as_imaged(observation: Observation) -> tuple[Source, ...]:
    """The sources where the continuum run's images, which leave w out, show them."""
    p = observation.parameters
    if p.sources_on_pixels:
        return observation.modelled_sources
    return apparent_sources(p, observation.modelled_sources, observation.pointings)


def _write_masks(
    files: ContinuumFiles, observation: Observation, template: Path, sources: Sequence[Source]
) -> None:
    """Tier 1 has the brighter sources, like the shallower quick-look catalogue; the second mask has all."""
    p = observation.parameters
    beam = images.beam_fwhm_arcsec(p, observation.array.longest_baseline_m)
    brightest_first = sorted(sources, key=lambda source: -source.flux_3ghz_jy)
    bright = brightest_first[: max(1, round(0.8 * len(brightest_first)))]
    tier1, second = images.catalogue(bright, beam), images.catalogue(brightest_first, 0.8 * beam)
    images.write_mask(files.tier1_mask, p, template, tier1)
    images.write_mask(files.second_mask, p, template, second)
    images.write_mask(files.combined_mask, p, template, (*tier1, *second))


def _imaging_arguments(files: ContinuumFiles, observation: Observation, imagename: Path) -> dict[str, Any]:
    """Parameters that all tclean calls of the continuum run's first imaging share."""
    p = observation.parameters
    scans = sorted({pointing.scan for pointing in observation.pointings})
    return {
        "vis": str(files.ms),
        "imagename": str(imagename),
        "datacolumn": "data",
        "field": _field_ids(observation),
        "spw": p.spw_string,
        "antenna": ",".join(map(str, range(p.antennas))) + "&",
        "scan": ",".join(map(str, scans)),
        "intent": INTENT,
        "uvrange": "<12km",
        "specmode": "mfs",
        "gridder": "mosaic",
        "wprojplanes": 1,
        "mosweight": False,
        "conjbeams": False,
        "usepointing": False,
        "pblimit": 0.1,
        "normtype": "flatnoise",
        "imsize": list(p.imsize),
        "cell": format_angle_arcsec(p.cell_arcsec),
        "phasecenter": p.phasecenter,
        "stokes": "I",
        "weighting": "briggs",
        "robust": -2.0,
        "uvtaper": ["2.6476arcsec"],
        "deconvolver": "mtmfs",
        "nterms": 2,
        "reffreq": "3.0GHz",
        "pbcor": False,
        "parallel": False,
    }


def _clean(files: ContinuumFiles, observation: Observation) -> None:
    casa.run_task(
        "tclean",
        **_imaging_arguments(files, observation, files.model_root),
        scales=[0],
        niter=20000,
        threshold="0Jy",
        nsigma=10.0,
        nmajor=observation.parameters.continuum_major_cycles,
        gain=0.1,
        cycleniter=500,
        cyclefactor=3.0,
        minpsffraction=0.05,
        maxpsffraction=0.8,
        usemask="user",
        mask=str(files.tier1_mask),
        restoration=False,
        savemodel="none",
    )


def _predict(files: ContinuumFiles, observation: Observation) -> None:
    """MODEL_DATA from the model images, in two calls: the first sets up the grids, the second predicts."""
    root = files.directory / f"s4_1.{observation.parameters.image_name('se')}.I.iter0"
    arguments = _imaging_arguments(files, observation, root) | {
        "niter": 0,
        "threshold": "0.0mJy",
        "nsigma": 2.0,
        "restoration": False,
        "calcres": False,
    }
    casa.run_task("tclean", **arguments, calcpsf=True, savemodel="none")
    for order, model in enumerate(files.models):
        target = Path(f"{root}.model.tt{order}")
        remove(target)
        shutil.copytree(model, target)
    casa.run_task("tclean", **arguments, calcpsf=False, savemodel="modelcolumn")


def _predict_directly(ms: Path, observation: Observation) -> None:
    """MODEL_DATA from the true Stokes I by direct sum, field by field."""
    p = observation.parameters
    casa.run_task("clearcal", vis=str(ms), addmodel=True)
    unpolarized = [_without_polarization(source) for source in observation.modelled_sources]
    with casa.table(ms, writable=True) as table:
        for pointing in observation.pointings:
            for spw in p.science_spws:
                rows = table.query(f"FIELD_ID=={pointing.field_id} && DATA_DESC_ID=={spw}")
                try:
                    model = predict(
                        unpolarized,
                        rows.getcol("UVW").T,
                        channel_frequencies_hz(p, spw),
                        (pointing.ra_rad, pointing.dec_rad),
                    )
                    rows.putcol("MODEL_DATA", model)
                finally:
                    rows.close()


def _without_polarization(source: Source) -> Source:
    return replace(source, fractional_polarization=0.0, fractional_v=0.0)


def _save_flags(ms: Path, version: str, comment: str) -> None:
    casa.run_task(
        "flagmanager", vis=str(ms), mode="save", versionname=version, comment=comment, merge="replace"
    )


def _flag(ms: Path, observation: Observation) -> None:
    """Flag exactly the interference, and the spectral windows that are to be lost."""
    p = observation.parameters
    # Production stamps the version with the time of the run; the time of the observation is reproducible.
    observed = datetime(1858, 11, 17, tzinfo=UTC) + timedelta(seconds=observation.pointings[0].times_mjd_s[0])
    _save_flags(ms, f"hifv_checkflag_vlass-imaging_stage6_{observed:%Y%m%d-%H%M%S}", "before hifv_checkflag")
    commands = [event.flag_command for event in observation.interference]
    if p.flagged_spws:
        commands.append(f"mode='manual' spw='{','.join(map(str, p.flagged_spws))}'")
    if commands:
        casa.run_task(
            "flagdata", vis=str(ms), mode="list", inpfile=commands, action="apply", flagbackup=False
        )


def _selfcal(files: ContinuumFiles, observation: Observation) -> None:
    p = observation.parameters
    casa.run_task(
        "gaincal",
        vis=str(files.ms),
        caltable=str(files.selfcal_table),
        field="",
        spw=p.spw_string,
        solint="inf",
        combine="spw,field",
        refant=_reference_antennas(observation),
        refantmode="strict",
        minblperant=4,
        minsnr=5.0,
        gaintype="G",
        calmode="p",
        parang=False,
        append=False,
    )
    if not files.selfcal_table.is_dir():
        raise MeasurementSetError(
            "self-calibration of the simulated field found no solution",
            hint="Simulate brighter sources, less noise or fewer flags.",
        )
    _flag_solutions(files.selfcal_table, antennas_without_solutions(observation))
    casa.run_task(
        "applycal",
        vis=str(files.ms),
        gaintable=str(files.selfcal_table),
        interp=["nearest"],
        spwmap=[[p.science_spws[0]] * SPW_COUNT],
        parang=False,
        applymode="calonly",
        calwt=False,
        flagbackup=False,
    )


def _flag_solutions(table_path: Path, antennas: Collection[int]) -> None:
    """Flag all solutions of some antennas, as gaincal does where it finds none."""
    if not antennas:
        return
    with casa.table(table_path, writable=True) as table:
        flags = table.getcol("FLAG")
        flags[:, :, np.isin(table.getcol("ANTENNA1"), sorted(antennas))] = True
        table.putcol("FLAG", flags)


def _reference_antennas(observation: Observation) -> str:
    """Antennas with data by their distance from the middle of the array, nearest first."""
    array = observation.array
    active = list(array.active)
    middle = np.median(array.positions_m[active], axis=0)
    order = np.argsort(np.linalg.norm(array.positions_m[active] - middle, axis=1), kind="stable")
    return ",".join(array.names[active[index]] for index in order)


def save_final_state(ms: Path, path: Path) -> None:
    """Write what the restore stage must reproduce, rows by spectral window, field, time and antennas."""
    with casa.table(ms) as table:
        present = set(table.colnames())
        columns = {name: table.getcol(name) for name in (*_KEY_COLUMNS, *_STATE_COLUMNS) if name in present}
    order = np.lexsort([columns[name] for name in reversed(_KEY_COLUMNS)])
    arrays: dict[str, NDArray[Any]] = {}
    for name, values in columns.items():
        single = np.complex64 if np.iscomplexobj(values) else np.float32
        is_key = name in _KEY_COLUMNS or values.dtype == bool
        arrays[name] = values[..., order] if is_key else values[..., order].astype(single)
    np.savez(path, **arrays)  # type: ignore[arg-type]


def pack_resources(files: ContinuumFiles, path: Path) -> None:
    """Pack what the cube run needs, names relative to the continuum run's directory."""
    members: Sequence[tuple[Path, str]] = [
        *(
            (item, item.name)
            for item in (files.tier1_mask, files.second_mask, files.combined_mask, *files.models)
        ),
        # The run's final model is exported as well; nobody reads it here, so the first one stands in for it.
        *(
            (item, item.name.replace("s5_0.", "s13_0.").replace(".iter1.", ".iter3."))
            for item in files.models
        ),
        (files.selfcal_table, files.selfcal_table.name),
        (files.flag_versions, files.flag_versions.name),
    ]
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for source, name in members:
            archive.add(source, arcname=name)
