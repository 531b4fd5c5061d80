"""The two parameter lists: read into typed values, every problem reported at once with its line number.

A list holds one ``key=literal`` per line. Nothing in it is executed, and an unknown key is an error: no slip
of the pen makes another product.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from vlasscube.errors import ParameterFileError, QuantityError
from vlasscube.id_lists import parse_ids
from vlasscube.image_names import nearest_official_name
from vlasscube.parameters.key_uses import KEY_USES, Bound, ListKind, idle_keys, refusals
from vlasscube.parameters.list_reading import MAX_PROBLEMS, REQUIRED, read_list
from vlasscube.parameters.literals import parse_literal
from vlasscube.parameters.quantities import parse_angle_arcsec, parse_quantity
from vlasscube.parameters.unknown_keys import unknown_key
from vlasscube.parameters.values import (
    CONTINUUM_MODE,
    CONVERTERS,
    CUBE_MODE,
    IMAGING_MODES,
    PlaneRejectionMs,
    spw_groups,
)
from vlasscube.texts import shown
from vlasscube.workspace.files import write_text

__all__ = [
    "CONTINUUM_MODE",
    "CUBE_MODE",
    "IMAGING_MODES",
    "ImageList",
    "ImageListParameters",
    "PlaneRejectionMs",
    "parameters_mapping",
    "read_image_list",
    "read_parameter_file",
    "readable_parameters",
    "require_supported_mode",
    "resolve_continuum_spw",
    "validate_spw_groups",
    "write_parameter_file",
]


@dataclass(frozen=True)
class ImageListParameters:
    """A parameter list; None stands for a key that is not given or given as "use the default"."""

    imagename: str
    phasecenter: str
    imaging_mode: str
    editmode: str | None = None
    spw: str | tuple[str, ...] | None = None
    """A plain string for the continuum; one string per plane, e.g. ``('2', '3,4')``, for the cube."""
    imsize: tuple[int, int] | None = None
    """Pixels."""
    cell: tuple[str, ...] | None = None
    search_radius_arcsec: float | None = None
    field: tuple[int, ...] | None = None
    """Field ids."""
    datatype: str | None = None
    datacolumn: str | None = None
    specmode: str | None = None
    gridder: str | None = None
    deconvolver: str | None = None
    nterms: int | None = None
    stokes: str | None = None
    robust: float | None = None
    uvrange: str | None = None
    uvtaper: tuple[str, ...] | None = None
    reffreq: str | None = None
    restfreq: str | None = None
    start: str | None = None
    width: str | None = None
    nchan: int | None = None
    nbin: int | None = None
    niter: int | None = None
    threshold: str | None = None
    nsigma: float | None = None
    cyclefactor: float | None = None
    cycleniter: int | None = None
    cycleniter_final_image_nomask: int | None = None
    nmajor: int | None = None
    scales: tuple[int, ...] | None = None
    mask: tuple[str, ...] | None = None
    pbmask: float | None = None
    pblimit: float | None = None
    sensitivity: float | None = None
    conjbeams: bool | None = None
    cfcache: str | None = None
    cfcache_nowb: str | None = None
    wprojplanes: int | None = None
    cutout_imsize: tuple[int, int] | None = None
    """Pixels."""
    clean_no_mask_selfcal_image: bool | None = None
    vlass_plane_reject_ms: PlaneRejectionMs | None = None
    intent: str | None = None
    parameter_file: str | None = None

    @property
    def cell_arcsec(self) -> float | None:
        """Pixel size; None if not given."""
        return None if self.cell is None else parse_angle_arcsec(self.cell[0])


KEYS = tuple(item.name for item in fields(ImageListParameters))


# ------------------------------------------------------------------------------------- spectral windows


def validate_spw_groups(value: object, available_spw_ids: Collection[int] | None = None) -> tuple[str, ...]:
    """Check the spectral-window groups of a cube, one per plane.

    Parameters
    ----------
    value : object
        Must be a list or tuple of strings, each an id or comma-separated ids: ``['2', '3,4']``.
    available_spw_ids : collection of int, optional
        Ids in the measurement set; without it only the syntax is checked.

    Returns
    -------
    tuple of str
        The groups in the order given, without spaces or leading zeros: ``'2, 03'`` becomes ``'2,3'``.

    Raises
    ------
    ParameterFileError
        Listing all problems: channel selections, ranges, repeated ids or groups, ids that are not available.
    """
    groups, problems = spw_groups(value)
    if available_spw_ids is not None:
        for group in groups:
            absent = [str(spw) for spw in parse_ids(group) if spw not in available_spw_ids]
            if absent:
                problems.append(f"spw {group!r}: no data of {', '.join(absent)} in the measurement set")
    if problems:
        known = ", ".join(map(str, sorted(available_spw_ids or ())))
        raise ParameterFileError(
            "The spectral-window groups cannot be used:",
            problems[:MAX_PROBLEMS],
            hint=f"The measurement set has data of {known}." if known else "Example: spw=['2','3','4,5']",
        )
    return groups


def resolve_continuum_spw(value: str, centres_hz: Mapping[int, float]) -> tuple[int, ...]:
    """Spectral windows of the continuum run.

    Parameters
    ----------
    value : str
        Ids and ranges (``'2,3'``, ``'2~17'``), or centre frequencies in MHz (``'2028MHz,2156'``), each of
        which stands for the nearest spectral window.
    centres_hz : mapping
        Centre frequency by id.

    Raises
    ------
    ParameterFileError
        If it is not understood or names an id that is not there.
    """
    ids: set[int] = set()
    problems: list[str] = []
    try:
        if "MHz" in value:
            for item in value.split(","):
                ids.add(_nearest_window(item, centres_hz))
        else:
            ids.update(parse_ids(value, ranges=True))
    except QuantityError as error:
        problems.append(f"spw {error}")
    absent = sorted(ids - set(centres_hz))
    if absent:
        problems.append(f"no data of spw {shown(absent)} in the measurement set")
    if problems:
        known = ", ".join(map(str, sorted(centres_hz)))
        raise ParameterFileError(
            "The spectral windows of the continuum cannot be used:",
            problems[:MAX_PROBLEMS],
            hint=f"There are: {known}.",
        )
    return tuple(sorted(ids))


def _nearest_window(text: str, centres_hz: Mapping[int, float]) -> int:
    wanted = parse_quantity(text, {"MHz": 1e6, "": 1e6}, "a frequency in MHz", "'2028MHz'")
    if not centres_hz:
        raise QuantityError("cannot be found: there are no spectral windows")
    return min(centres_hz, key=lambda spw: abs(centres_hz[spw] - wanted))


# --------------------------------------------------------------------------------------------- reading


@dataclass(frozen=True)
class ImageList:
    """A parameter list that can be used."""

    parameters: ImageListParameters
    warnings: tuple[str, ...]
    """What in it has no effect, what was assumed, and names that are nearly official, with file and line."""


def read_image_list(path: Path, kind: ListKind) -> ImageList:
    """Read the parameter list of the continuum or of the cube: each key is used, or refused, or warned of.

    Parameters
    ----------
    path : Path
        As for `read_parameter_file`.
    kind : {'continuum', 'cube'}
        What the list must be for.

    Raises
    ------
    ParameterFileError
        As `read_parameter_file` and `require_supported_mode`, and with all keys whose values are not possible
        (`vlasscube.parameters.key_uses`), each with file and line.
    """
    content = read_list(path)
    lines, problems, warnings = content.lines, content.problems, content.notes
    given = {key: content.values[key] for key in KEYS if content.values.get(key) is not None}
    if problems:
        # All that is wrong at once: of what could be read, what is not possible.
        for key, text in refusals(kind, given):
            problems.add(lines[key], text)
        content.refuse_if_wrong()
    parameters = ImageListParameters(**content.values)
    require_supported_mode(parameters, kind, f"{path.name}:{lines['imaging_mode']}: ")
    for key, text in refusals(kind, given):
        problems.add(lines[key], text)
    for key, text in idle_keys(kind, given, path.name):
        warnings.add(lines[key], text)
    if official := nearest_official_name(parameters.imagename, "se" if kind == "continuum" else "cc"):
        name = shown(parameters.imagename)
        warnings.add(
            lines["imagename"],
            f"imagename {name} is used as it is; the nearest official name is {official!r}",
        )
    if problems:
        raise ParameterFileError(
            f"{path.name} cannot be used:",
            problems.texts(),
            hint="Leave these keys out to get production's values.",
        )
    return ImageList(parameters, tuple(warnings.texts()))


def readable_parameters(path: Path, kind: ListKind) -> ImageListParameters | None:
    """Read what can be read of a list that cannot be used, to find what else is wrong with it.

    Parameters
    ----------
    path, kind
        As of `read_image_list`.

    Returns
    -------
    ImageListParameters or None
        Without the keys of lines that are wrong; None if the name, the centre or the mode is among these, or
        the list is not of this kind.
    """
    content = read_list(path)
    wrong = content.problems.lines
    values = {key: value for key, value in content.values.items() if content.lines[key] not in wrong}
    mode = KEY_USES[kind]["imaging_mode"]
    is_whole = all(values.get(key) is not None for key in REQUIRED)
    if not is_whole or not (isinstance(mode, Bound) and values["imaging_mode"] in mode.values):
        return None
    return ImageListParameters(**values)


def read_parameter_file(path: Path) -> ImageListParameters:
    """Read a parameter list, whatever it is for.

    Parameters
    ----------
    path : Path
        ``SEIP_parameter.list``, ``CCIP_parameter.list`` or another of that form: UTF-8, one ``key=literal``
        per line; empty lines and lines starting with ``#`` are skipped.

    Returns
    -------
    ImageListParameters
        Values that upstream takes as "not given" (``''``, ``[]``, ``-999.``, ``0`` where it stands for the
        default) are None.

    Raises
    ------
    ParameterFileError
        With all problems of the file: unreadable, unknown or repeated keys, values that are no literals or
        out of range, missing required keys, a form of ``spw`` that does not fit the imaging mode.
    """
    content = read_list(path)
    content.refuse_if_wrong()
    return ImageListParameters(**content.values)


def require_supported_mode(
    parameters: ImageListParameters, expected: ListKind | None = None, place: str = ""
) -> ListKind:
    """Tell what a parameter list is for, refusing what cannot be processed.

    Parameters
    ----------
    parameters : ImageListParameters
        As read.
    expected : {'continuum', 'cube'}, optional
        What the list must be for.
    place : str
        Where in which file the mode is given, for the message.

    Raises
    ------
    ParameterFileError
        If the imaging mode is another one, in particular one of the A-projection modes.
    """
    mode = parameters.imaging_mode
    found: ListKind | None = {CONTINUUM_MODE: "continuum", CUBE_MODE: "cube"}.get(mode)  # type: ignore[assignment]
    if found is not None and expected in {None, found}:
        return found
    wanted = {"continuum": CONTINUUM_MODE, "cube": CUBE_MODE}.get(
        expected or "", f"{CONTINUUM_MODE} or {CUBE_MODE}"
    )
    reason = f"{place}imaging_mode {mode!r}: expected {wanted}"
    hint = f"Set imaging_mode to {wanted}, or give the other parameter list."
    if mode.startswith("VLASS-SE-CONT") and found is None:
        reason = (
            f"{place}imaging_mode {mode!r}: continuum runs made with A-projection cannot be continued. Their "
            "model was deconvolved with awproject's beams (aperture illumination, rotating with the "
            "parallactic angle); the mosaic gridder of both engines has azimuthally symmetric ones, so "
            "MODEL_DATA could not be reproduced to 1 % of its peak, and weights and calibration would differ"
        )
        hint = (
            f"Make the continuum run with {CONTINUUM_MODE}, and give its SEIP_parameter.list and "
            "reimaging_resources.tgz. Changing the mode in the list alone would predict the wrong model. "
            "What it would take: predicting the model with tclean's awproject, its convolution functions "
            "(the cfcache, about 30 GB) and pblimit 0.02."
        )
    raise ParameterFileError(f"The parameters of {parameters.imagename} cannot be used:", [reason], hint=hint)


# --------------------------------------------------------------------------------------------- writing


def parameters_mapping(parameters: ImageListParameters) -> dict[str, Any]:
    """The keys that are given, as literals of a parameter list."""
    return {key: _plain(value) for key in KEYS if (value := getattr(parameters, key)) is not None}


def write_parameter_file(path: Path, mapping: Mapping[str, Any] | ImageListParameters) -> None:
    """Write a parameter list that `read_parameter_file` reads back.

    Parameters
    ----------
    path : Path
        Replaced if it exists.
    mapping : mapping or ImageListParameters
        Keys and values, in the order to be written.

    Raises
    ------
    ParameterFileError
        If a key is unknown or a value is not a literal.
    """
    if isinstance(mapping, ImageListParameters):
        mapping = parameters_mapping(mapping)
    lines: list[str] = []
    problems: list[str] = []
    for key, value in mapping.items():
        if key not in CONVERTERS:
            problems.append(unknown_key(key))
            continue
        literal = repr(_plain(value))
        try:
            parse_literal(literal)
        except ValueError as error:
            problems.append(f"{key}: {error}")
        lines.append(f"{key}={literal}\n")
    if problems:
        raise ParameterFileError(f"The parameter list {path} cannot be written:", problems)
    write_text(path, "".join(lines))


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
