"""What can be known of the inputs before the work: all of it is looked at, and told at once.

Each stage checks its own inputs, too, and more deeply. Here an input of stage 7 is looked at before stage 1,
so that nobody waits hours to be told of a slip of the pen.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vlasscube import naming
from vlasscube.clean_terms import ImageMask
from vlasscube.errors import (
    ImagingError,
    InputsError,
    MissingResourcesError,
    ProblemListError,
    VlassCubeError,
    WorkspaceError,
)
from vlasscube.id_lists import parse_ids
from vlasscube.imaging.masks import check_mask_header
from vlasscube.measurement_set.flag_template import template_commands
from vlasscube.options import RunOptions
from vlasscube.parameters.key_uses import ListKind
from vlasscube.parameters.lists import ImageListParameters, readable_parameters
from vlasscube.parameters.product_labels import LABELS_FILE, product_identity
from vlasscube.products.owned_files import Ownership, refuse_to_overwrite
from vlasscube.recipe import (
    EDIT_IMAGE_LIST_CONTINUUM,
    EDIT_IMAGE_LIST_CUBE,
    EXPORT_VLASS_DATA,
    FLAG_TARGETS_DATA,
    IMPORT_DATA,
    MAKE_IMAGES,
    RECIPE,
    RESTORE_PIMS,
    TRANSFORM_IMAGE_DATA,
    Stage,
)
from vlasscube.records import Message
from vlasscube.resources.archive import ResourceReport, inspect_archive
from vlasscube.resources.header_files import HeaderFiles
from vlasscube.resources.resource_checks import check_headers
from vlasscube.results.reading import find_result
from vlasscube.results.types import ContinuumTarget, CubePlan, ImportResult
from vlasscube.results.working_names import WorkingOwnership, restored_names, set_names
from vlasscube.run.planned_steps import planned_steps
from vlasscube.run.steps import readable_record
from vlasscube.sky import offsets_arcsec, parse_phasecenter
from vlasscube.stages.export_vlass_data import COMPANIONS
from vlasscube.stages.flag_targets_data import TEMPLATE_ENDING, read_flag_template, template_name
from vlasscube.stages.image_lists import (
    CONTINUUM_NTERMS,
    nothing_flagged,
    plan_continuum,
    plan_cube,
    read_list,
)
from vlasscube.stages.import_data import read_measurement_set
from vlasscube.texts import data_size
from vlasscube.weblog.own_pages import WeblogOwnership, weblog_names
from vlasscube.workspace.directory import Workspace

Progress = Callable[[str, float | None], None]
"""Told what is being looked at and, where known, the fraction done."""

_SIMILAR_ARCHIVES = ("*.tgz", "*.tar.gz", "*.tar")
_MEASUREMENT_SET = "measurement set"
_MAX_SHOWN = 5
_SECONDS_BETWEEN_TELLING = 1.0


@dataclass(frozen=True)
class InputProblem:
    """Why one input cannot be used."""

    file: str
    """Name of the input in the run directory."""
    text: str
    """One line, or several that name all that is wrong."""
    hint: str = ""


@dataclass(frozen=True)
class InputReport:
    """All that is wrong with the inputs of a run."""

    directory: str
    problems: tuple[InputProblem, ...]
    """By input, in the order in which the stages read them."""
    warnings: tuple[Message, ...]
    errors: tuple[VlassCubeError, ...]
    """What the problems were made of."""
    can_be_planned: bool
    """Whether measurement set and parameter lists can be used: then planes and cost are known."""

    @property
    def text(self) -> str:
        """All problems, each with its hint, grouped by input."""
        lines: list[str] = []
        for problem in self.problems:
            lines += problem.text.splitlines()
            if problem.hint:
                lines += [f"    {line}" for line in problem.hint.splitlines()]
        return "\n".join(lines)

    def require_usable(self) -> None:
        """Refuse inputs that have problems.

        Raises
        ------
        VlassCubeError
            The only problem as the stage would raise it, or an `InputsError` with all of them.
        """
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:
            error = InputsError(
                f"There are {len(self.problems)} problems with the inputs in {self.directory}; nothing was "
                f"changed:\n{self.text}"
            )
            error.report = self
            raise error


def check_inputs(
    workspace: Workspace,
    options: RunOptions,
    stages: Sequence[Stage[object]] = RECIPE.stages,
    progress: Progress | None = None,
) -> InputReport:
    """Look at all inputs that stages will read, as far as they are not done; nothing is changed.

    Parameters
    ----------
    workspace : Workspace
        Run directory.
    options : RunOptions
        Of the run.
    stages : sequence of Stage
        Those that will be run.
    progress : callable, optional
        Told what is being looked at.

    Returns
    -------
    InputReport
        Problems of the measurement set, both parameter lists, the archive of the continuum run (its members
        against the names, and the axes of its images, the rows of its flags and its self-calibration against
        the image and the measurement set), the flagging template, the masks that the list of the cube names,
        and the names of the products; warnings of these.
    """
    return _Preflight(workspace, options, stages, progress or (lambda text, fraction: None)).report()


class _Preflight:
    """One look at the inputs of a run."""

    def __init__(
        self,
        workspace: Workspace,
        options: RunOptions,
        stages: Sequence[Stage[object]],
        progress: Progress,
    ) -> None:
        self._workspace = workspace
        self._options = options
        self._progress = progress
        self._found: list[tuple[InputProblem, VlassCubeError]] = []
        self._warnings: list[Message] = []
        self._wrong_lists: set[Path] = set()
        try:
            done = {step.name for step in planned_steps(workspace, options) if step.action == "skip"}
        except (VlassCubeError, OSError):
            # Found again, and told, where the input is looked at.
            done = set()
        self._stages = {stage.name for stage in stages}
        self._ahead = self._stages - done

    def report(self) -> InputReport:
        imported = self._measurement_set()
        continuum_list, continuum = self._continuum(imported)
        before = (IMPORT_DATA, imported), (EDIT_IMAGE_LIST_CONTINUUM, continuum)
        if any(found is None and stage.name not in self._stages for stage, found in before):
            # A stage before those that are asked for has not been run: the first of them says so.
            self._ahead.clear()
        cube = self._cube(imported)
        can_be_planned = not self._found
        if self._is_ahead(RESTORE_PIMS):
            resources = self._resources(imported, continuum_list, continuum)
        else:
            resources = None
        self._template(imported)
        self._masks(cube, resources)
        self._labels(cube)
        self._in_the_way(imported, cube, resources)
        if continuum is not None and cube is not None:
            self._compare(continuum, cube)
        return InputReport(
            directory=str(self._workspace.directory),
            problems=tuple(problem for problem, _ in self._found),
            warnings=tuple(dict.fromkeys(self._warnings)),
            errors=tuple(error for _, error in self._found),
            can_be_planned=can_be_planned,
        )

    def _is_ahead(self, stage: Stage[object]) -> bool:
        return stage.name in self._ahead

    @contextlib.contextmanager
    def _noting(self, file: str) -> Iterator[None]:
        """Note what is wrong with an input, and go on with the next."""
        try:
            yield
        except VlassCubeError as error:
            if file not in error.message and file != _MEASUREMENT_SET:
                error.message = f"{file}: {error.message}"
                error.args = (error.message,)
            self._note(file, error)
        except OSError as error:
            path = error.filename or file
            hint = "Make it accessible, or work on a copy."
            self._note(file, WorkspaceError(f"{path} cannot be read: {error.strerror or error}", hint=hint))

    def _note(self, file: str, error: VlassCubeError) -> None:
        self._found.append((InputProblem(file, error.message, error.hint), error))

    # ------------------------------------------------------------------------------- set and lists

    def _measurement_set(self) -> ImportResult | None:
        if not self._is_ahead(IMPORT_DATA):
            return find_result(self._workspace, IMPORT_DATA)
        self._progress("look at the measurement set", None)
        with self._noting(_MEASUREMENT_SET):
            path = self._workspace.input_ms
            imported = read_measurement_set(path)
            naming.working_ms_name(path)
            return imported
        return None

    def _list(self, path: Path, kind: ListKind) -> ImageListParameters | None:
        with self._noting(path.name):
            parameters, warnings = read_list(path, kind)
            self._warnings += warnings
            return parameters
        # A slip in one line hides nothing that is wrong with the others.
        self._wrong_lists.add(path)
        return readable_parameters(path, kind)

    def _continuum(
        self, imported: ImportResult | None
    ) -> tuple[ImageListParameters | None, ContinuumTarget | None]:
        if not self._is_ahead(EDIT_IMAGE_LIST_CONTINUUM):
            found = find_result(self._workspace, EDIT_IMAGE_LIST_CONTINUUM)
            return (None, None) if found is None else (found.parameters, found)
        path = self._workspace.seip_parameter_file
        parameters = self._list(path, "continuum")
        if parameters is None or imported is None:
            return parameters, None
        with self._noting(path.name):
            target = plan_continuum(parameters, imported)
            # With a line left out the image would be another than the archive's.
            return parameters, None if path in self._wrong_lists else target
        return parameters, None

    def _cube(self, imported: ImportResult | None) -> CubePlan | None:
        if not self._is_ahead(EDIT_IMAGE_LIST_CUBE):
            return find_result(self._workspace, EDIT_IMAGE_LIST_CUBE)
        path = self._workspace.ccip_parameter_file
        parameters = self._list(path, "cube")
        if parameters is None or imported is None:
            return None
        with self._noting(path.name):
            # What masks the archive brings is not known yet; those that the list names are.
            plan, _ = plan_cube(parameters, imported, nothing_flagged(imported.summary), (), self._options)
            return plan
        return None

    def _compare(self, continuum: ContinuumTarget, cube: CubePlan) -> None:
        """Warn of two lists that are of different images."""
        names = continuum.image_name, cube.image_name
        centres = [parse_phasecenter(target.geometry.phasecenter)[:2] for target in (continuum, cube)]
        apart = max(abs(float(offset)) for offset in offsets_arcsec(*centres[0], *centres[1]))
        if apart > cube.geometry.cell_arcsec:
            self._warnings.append(
                Message(
                    "warning",
                    f"the two parameter lists have centres {apart:.3g} arcsec apart: {names[0]} at "
                    f"{continuum.geometry.phasecenter}, {names[1]} at {cube.geometry.phasecenter}",
                    "Masks of the continuum run will be regridded. Compare phasecenter in both lists.",
                )
            )

    # ------------------------------------------------------------------------------------- archive

    def _resources(
        self,
        imported: ImportResult | None,
        parameters: ImageListParameters | None,
        target: ContinuumTarget | None,
    ) -> ResourceReport | None:
        workspace = self._workspace
        archive = workspace.resources_archive
        if not archive.is_file():
            with self._noting(archive.name):
                raise _missing_archive(workspace)
        try:
            ms = workspace.input_ms
            working_ms = naming.working_ms_name(ms)
        except VlassCubeError:
            return None
        if parameters is None or not archive.is_file():
            # Without its name nothing of the continuum run can be found.
            return None
        text = f"look into {archive.name} ({data_size(archive.stat().st_size)})"
        self._progress(text, None)
        told = time.monotonic()

        def progress(done: int, total: int) -> None:
            nonlocal told
            if total and time.monotonic() - told > _SECONDS_BETWEEN_TELLING:
                told = time.monotonic()
                self._progress(text, done / total)

        with contextlib.ExitStack() as stack:
            headers = None
            # Where nothing can be written, what the headers tell is found when the archive is extracted.
            with contextlib.suppress(OSError):
                scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="vlasscube-"))
                headers = HeaderFiles(Path(scratch))
            report = None
            with self._noting(archive.name):
                report = inspect_archive(
                    archive,
                    working_ms,
                    parameters.imagename,
                    nterms=parameters.nterms or CONTINUUM_NTERMS,
                    progress=progress,
                    headers=headers,
                )
            if report is None:
                return None
            with self._noting(archive.name):
                report.require_complete()
            if headers is not None and imported is not None and target is not None:
                self._progress("compare the archive with the measurement set", None)
                with self._noting(archive.name):
                    check_headers(
                        headers,
                        report,
                        ms,
                        target.field_ids,
                        parse_ids(target.selection.spw),
                        target.geometry,
                        min(imported.science_spws),
                    )
            return report

    # --------------------------------------------------------------- template, masks, products

    def _template(self, imported: ImportResult | None) -> None:
        if not self._is_ahead(FLAG_TARGETS_DATA) or imported is None:
            return
        with contextlib.suppress(VlassCubeError):
            name = template_name(naming.working_ms_name(imported.summary.name))
            path = self._workspace.directory / name
            if path.is_file():
                with self._noting(name):
                    template_commands(read_flag_template(path), name)
            others = sorted(self._workspace.directory.glob(f"*{TEMPLATE_ENDING}"))
            for other in others:
                if other.name != name:
                    self._warnings.append(
                        Message(
                            "warning",
                            f"the flagging template {other.name} is not used: it must be called {name}",
                            "Rename it if its commands shall be applied.",
                        )
                    )

    def _masks(self, cube: CubePlan | None, resources: ResourceReport | None) -> None:
        if cube is None or cube.parameters.mask is None or not self._is_ahead(MAKE_IMAGES):
            return
        brought = set()
        if resources is not None:
            rows = resources.get("tier1_mask"), resources.get("tier2_mask")
            brought = {name for row in rows for name in row.found}
        elif self._is_ahead(RESTORE_PIMS):
            # What the archive brings cannot be told.
            return
        working, file = self._workspace.working, self._workspace.ccip_parameter_file.name
        for name in dict.fromkeys(mask.name for mask in cube.clean.masks if isinstance(mask, ImageMask)):
            path = working / name
            if name in brought or (path.is_relative_to(working) and path.name in brought):
                continue
            with self._noting(file):
                if not path.exists():
                    raise _no_mask(name, self._workspace, brought)
                try:
                    self._warnings += check_mask_header(path, cube.geometry)
                except ImagingError as error:
                    raise ImagingError(f"{file}: {error.message}", hint=error.hint) from error

    def _labels(self, cube: CubePlan | None) -> None:
        if cube is not None and self._is_ahead(EXPORT_VLASS_DATA):
            with self._noting(LABELS_FILE):
                product_identity(self._workspace.directory / LABELS_FILE, cube.image_name)

    def _in_the_way(
        self, imported: ImportResult | None, cube: CubePlan | None, resources: ResourceReport | None
    ) -> None:
        """Look for files of others under the names that the run will give to its own."""
        workspace = self._workspace
        if EXPORT_VLASS_DATA.name in self._stages:
            with self._noting(workspace.products.name):
                refuse_to_overwrite(workspace.products, products_in_the_way(workspace)[0])
        planes = () if cube is None else cube.targets
        with self._noting(workspace.weblog.name):
            names = weblog_names(target.label for target in planes)
            refuse_to_overwrite(workspace.weblog, WeblogOwnership(workspace).in_the_way(names))
        working: list[str] = []
        if imported is not None and self._is_ahead(TRANSFORM_IMAGE_DATA):
            with contextlib.suppress(VlassCubeError):
                working += set_names(naming.working_ms_name(imported.summary.name))
        if resources is not None and resources.complete:
            working += restored_names(resources)
        if self._is_ahead(EDIT_IMAGE_LIST_CUBE):
            working += (target.image_root for target in planes)
        with self._noting(workspace.working.name):
            refuse_to_overwrite(workspace.working, WorkingOwnership(workspace).in_the_way(working))


def products_in_the_way(workspace: Workspace) -> tuple[tuple[str, ...], Ownership]:
    """Names of products under which something lies that this run has not made, and whose they are."""
    lists = (workspace.seip_parameter_file.name, workspace.ccip_parameter_file.name)
    owned = Ownership(workspace, readable_record(workspace, EXPORT_VLASS_DATA.name, None))
    return owned.in_the_way((*lists, *COMPANIONS)), owned


def _missing_archive(workspace: Workspace) -> VlassCubeError:
    archive = workspace.resources_archive
    found = {path.name for glob in _SIMILAR_ARCHIVES for path in workspace.directory.glob(glob)}
    hint = "Copy or link the archive of the continuum run into the directory."
    if others := sorted(found - {archive.name})[:_MAX_SHOWN]:
        hint += f" If it is {', '.join(others)}: rename it to {archive.name}, or link it."
    return MissingResourcesError(
        f"{archive.name} is missing: stage {RESTORE_PIMS.number} cannot restore the continuum run's state",
        (),
        hint=hint,
    )


def _no_mask(name: str, workspace: Workspace, brought: set[str]) -> ProblemListError:
    file = workspace.ccip_parameter_file.name
    beside = workspace.directory / name
    if beside.exists():
        hint = f"There is one beside the list: move it into {workspace.working}, or give its absolute path."
    else:
        hint = f"Put it into {workspace.working}, or give its absolute path."
    if brought:
        hint += f" The archive brings {' and '.join(sorted(brought))}."
    return ProblemListError(f"{file}: there is no mask image {name!r}", (), hint=hint)
