"""Records of stages 1 to 6 as a run leaves them, without a run."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from vlasscube import naming
from vlasscube.clean_terms import clean_mask
from vlasscube.imaging.clean_sequence import CleanParameters
from vlasscube.options import RunOptions
from vlasscube.parameters.lists import ImageListParameters
from vlasscube.records import (
    Antenna,
    DataSelection,
    ErrorInfo,
    Field,
    FieldFlags,
    FlagCount,
    ImageGeometry,
    MeasurementSetSummary,
    Message,
    Outcome,
    PlaneTarget,
    Scan,
    SpectralWindow,
    StepRecord,
)
from vlasscube.resources.archive import Resource, ResourceReport
from vlasscube.results.types import (
    ContinuumTarget,
    CubePlan,
    FlagResult,
    ImportResult,
    RestoreResult,
    TransformResult,
)
from vlasscube.workspace.directory import Workspace
from vlasscube.workspace.record_json import to_plain

HOSTILE = "<script>alert(1)</script>\"><img src=x onerror=alert(2)> $x^{ 'quote'\x1b[31m"
IMAGE_NAME = "VLASS2.1.cc.T10t02.J005000-023000.06.2048.v1"
SE_NAME = "VLASS2.1.se.T10t02.J005000-023000.06.2048.v1"
PHASECENTER = "J2000 00:50:0.366 -02.30.0.0000"
INPUT_MS = "VLASS2.1.sb38471.J005000-023000.ms"
GEOMETRY = ImageGeometry(512, 512, 0.6, PHASECENTER)
SELECTION = DataSelection("0~402", "2", "0~26&", "5,7", "*TARGET*", "<12km")
MASKS = (f"s12_0.{SE_NAME}.QLcatmask-tier1.mask", f"s13_0.{SE_NAME}.combined-tier2.mask", "pb")
START_MJD_S = 59066.4257967 * 86400


def spw_frequency(spw: int) -> float:
    """Return the mean frequency of a spectral window of VLASS in Hz."""
    return 2.028e9 + 0.128e9 * (spw - 2)


def noise_jy(spw: int, stokes: str) -> float:
    """Return a noise that differs from plane to plane."""
    return (0.25e-3 if stokes == "I" else 0.19e-3) * (1 + 0.25 * math.cos(spw))


class SyntheticField:
    """Writes records; the planes are spectral windows 2 to 17.

    Of these 5 is rejected, 8 failed in stage 7, 16 is flagged, 17 is empty; the rms of 12 stands out.
    """

    rejected, failed, flagged, empty, noisy = 5, 8, 16, 17, 12

    def __init__(self, directory: Path, hostile: str = HOSTILE, spws: range = range(2, 18)) -> None:
        self.workspace = Workspace(directory)
        self.hostile = hostile
        self.spws = spws
        self.keys: dict[str, str] = {}

    # --------------------------------------------------------------------------------------------- records

    def key(self, stage: str, plane: str | None = None) -> str:
        return hashlib.sha256(f"{stage}/{plane}".encode()).hexdigest()

    def write(
        self,
        stage: str,
        result: Any,
        plane: str | None = None,
        upstream: tuple[str, ...] = (),
        messages: tuple[Message, ...] = (),
        error: ErrorInfo | None = None,
        seconds: float = 12.5,
        inputs: Any = None,
    ) -> StepRecord:
        record = StepRecord(
            stage=stage,
            plane=plane,
            key=self.key(stage, plane),
            status="done" if error is None else "failed",
            started="2026-02-01T10:00:00Z",
            finished="2026-02-01T10:05:00Z",
            seconds=seconds,
            inputs=inputs or {"upstream": list(upstream), "note": self.hostile},
            result=None if result is None else to_plain(result),
            messages=messages,
            error=error,
            versions={"vlasscube": "0.1.0", "casatasks": "6.7.0.31"},
        )
        self.workspace.write_record(record)
        return record

    # ---------------------------------------------------------------------------------------------- stages

    def start(self) -> Self:
        self.workspace.write_options(RunOptions(reject_by_beam=True, nmajor=220))
        return self

    def field_stages(self, last: int = 6) -> Self:
        stages = (
            self.import_data,
            self.continuum_list,
            self.transform,
            self.restore,
            self.flag,
            self.cube_list,
        )
        for stage in stages[:last]:
            stage()
        return self

    def import_data(self) -> None:
        self.summary = MeasurementSetSummary(
            name=INPUT_MS,
            telescope="EVLA",
            observer=self.hostile,
            project="VLASS",
            rows=2_345_678,
            size_bytes=45_600_000_000,
            columns=("DATA", "FLAG", "WEIGHT"),
            correlations=("RR", "RL", "LR", "LL"),
            integration_s=0.45,
            start_mjd_s=START_MJD_S,
            end_mjd_s=START_MJD_S + 3000,
            spectral_windows=tuple(
                SpectralWindow(s, f"EVLA_S#A{s}", spw_frequency(s), 1.28e8, 2e6, 64, 140_000)
                for s in self.spws
            ),
            spectral_window_count=18,
            fields=tuple(
                Field(i, self.hostile if i == 3 else f"0050{i:03d}-0230", 12.5, -2.5, 5 + i // 12, True)
                for i in range(48)
            ),
            antennas=tuple(Antenna(i, f"ea{i + 1:02d}", 25.0) for i in range(27)),
            scans=tuple(
                Scan(5 + i, START_MJD_S + 60 * i, START_MJD_S + 60 * i + 50, ("TARGET",)) for i in range(4)
            ),
        )
        self.write("import_data", ImportResult(self.summary, tuple(self.spws)))

    def continuum_list(self) -> None:
        parameters = ImageListParameters(SE_NAME, PHASECENTER, "VLASS-SE-CONT-MOSAIC")
        self.target = ContinuumTarget(
            image_name=SE_NAME,
            geometry=GEOMETRY,
            field_ids=tuple(range(48)),
            selection=SELECTION,
            robust=-2.0,
            uvtaper=("2.6476arcsec",),
            nterms=2,
            reffreq="3.0GHz",
            pblimit=0.1,
            search_radius_arcsec=1000.0,
            parameters=parameters,
        )
        self.write("edit_image_list_continuum", self.target, upstream=(self.key("import_data"),))

    def transform(self) -> None:
        result = TransformResult(
            INPUT_MS,
            naming.working_ms_name(INPUT_MS),
            44_000_000_000,
            48,
            "2~17",
            # Other fields of these scans, and other scans, are in the input alone.
            tuple(replace(scan, start_mjd_s=scan.start_mjd_s + 7) for scan in self.summary.scans[1:3]),
        )
        self.write("transform_image_data", result, upstream=(self.key("import_data"),))

    def report(self, missing: tuple[str, ...] = ()) -> ResourceReport:
        titles = {
            "tarball": "Reimaging Resources Tarball",
            "flag_dir": "Flags Directory",
            "flag_version": "Flag Restore Version",
            "selfcal_table": "Selfcal Table",
            "tier1_mask": "Tier 1 Mask",
            "tier2_mask": "Combined Final Mask",
            "model_images": "Selfcal Model Image(s)",
        }
        patterns = naming.resource_patterns(naming.working_ms_name(INPUT_MS), SE_NAME)
        return ResourceReport(
            archive="reimaging_resources.tgz",
            ms_name=naming.working_ms_name(INPUT_MS),
            se_name=SE_NAME,
            resources=tuple(
                Resource(
                    key=key,
                    title=title,
                    description=title.lower(),
                    pattern=patterns.get(key, "reimaging_resources.tgz"),
                    found=() if key in missing else (patterns.get(key, "reimaging_resources.tgz"),),
                    available=key not in missing,
                    problem=f"nothing matches {self.hostile}" if key in missing else "",
                )
                for key, title in titles.items()
            ),
            members=321,
            wanted_bytes=10**9,
        )

    def restore(self) -> None:
        self.restored = RestoreResult(
            report=self.report(),
            tier1_mask=MASKS[0],
            tier2_mask=MASKS[1],
            model_images=(f"s5_0.{SE_NAME}.I.iter1.model.tt0",),
            selfcal_table=f"{INPUT_MS}.hifv_selfcal.s8_1.phase-self-cal.tbl",
            flag_version="statwt_1",
            seconds={"look for resources": 0.31, "fill model": 4000.0, "restore weights": 734.2},
        )
        self.write(
            "restore_pims", self.restored, upstream=(self.key("transform_image_data"),), seconds=4734.0
        )

    def fail_restore(self, missing: tuple[str, ...] = ("selfcal_table", "tier2_mask")) -> Self:
        error = ErrorInfo(
            type="MissingResourcesError",
            message=f"missing in reimaging_resources.tgz: {', '.join(missing)} {self.hostile}",
            hint="Take the archive of the continuum run of this image.",
            traceback=f"Traceback (most recent call last): {self.hostile}",
            details=to_plain(self.report(missing)),
        )
        self.write("restore_pims", None, upstream=(self.key("transform_image_data"),), error=error)
        return self

    def flag(self) -> None:
        self.flags = FlagResult(
            template="",
            commands=(),
            before={s: FlagCount(self._flagged(s), 1000) for s in self.spws},
            fields=tuple(
                FieldFlags(
                    field.id,
                    field.name,
                    field.scan,
                    {s: FlagCount(self._flagged(s), 1000) for s in self.spws},
                )
                for field in self.summary.fields
            ),
            unflagged_channels=dict.fromkeys(self.spws, 60),
        )
        messages = (Message("info", "no flagging template: flags stay as restored"),)
        self.write("flag_targets_data", self.flags, upstream=(self.key("restore_pims"),), messages=messages)

    def _flagged(self, spw: int) -> int:
        return 1000 if spw == self.flagged else 100 + 17 * spw

    def plane_target(self, spw: int) -> PlaneTarget:
        outcome, reason = None, ""
        if spw == self.flagged:
            outcome, reason = Outcome.FLAGGED, "100.00% of the data are flagged: not imaged"
        if spw == self.empty:
            outcome, reason = Outcome.EMPTY, "no data in the central square degree"
        total = 0 if spw == self.empty else 48000
        return PlaneTarget(
            spw=str(spw),
            spw_ids=(spw,),
            label=f"spw{spw}",
            image_root=naming.plane_image_root(IMAGE_NAME, str(spw)),
            reffreq_hz=spw_frequency(spw),
            selection=SELECTION,
            nominal_bandwidth_hz=1.28e8,
            flags=FlagCount(self._flagged(spw) * 48, 48000),
            box_flags=FlagCount(min(self._flagged(spw) * 48, total), total),
            fields_above_threshold=spw % 4,
            outcome=outcome,
            reason=reason,
        )

    def cube_list(self) -> None:
        targets = tuple(self.plane_target(spw) for spw in self.spws)
        self.plan = CubePlan(
            image_name=IMAGE_NAME,
            geometry=GEOMETRY,
            field_ids=tuple(range(48)),
            box_field_ids=tuple(range(40)),
            search_radius_arcsec=1000.0,
            targets=targets,
            clean=CleanParameters(GEOMETRY, tuple(map(clean_mask, MASKS))),
            unflagged_bandwidth_hz={target.label: 1.2e8 for target in targets},
            box_fields=self.flags.fields[:40],
            reject_flag_fraction=0.9,
            reject_field_count=12,
            parameters=ImageListParameters(IMAGE_NAME, PHASECENTER, "VLASS-SE-CUBE", editmode="replace"),
        )
        messages = tuple(
            Message("warning", f"spw {t.spw}: {t.outcome}: {t.reason}") for t in targets if t.outcome
        )
        upstream = (self.key("import_data"), self.key("restore_pims"), self.key("flag_targets_data"))
        self.write("edit_image_list_cube", self.plan, upstream=upstream, messages=messages)
