"""Targets that are given texts: literals, parameters, names, records, quantities; see `targets`."""

# ruff: noqa: PT017

from __future__ import annotations

import ast
import io
import json
import math
import re
from collections.abc import Mapping
from typing import Any

import typer
from astropy.io import fits

from vlasscube import image_names as names
from vlasscube import naming
from vlasscube.cli.command_options import _spw_list, combined_options
from vlasscube.errors import (
    MeasurementSetError,
    NamingError,
    ParameterFileError,
    ProblemListError,
    QuantityError,
    StageOrderError,
    WorkspaceError,
)
from vlasscube.measurement_set.flag_template import template_commands
from vlasscube.measurement_set.row_selection import selected_ids
from vlasscube.options import RunOptions
from vlasscube.parameters.lists import (
    read_parameter_file,
    resolve_continuum_spw,
    validate_spw_groups,
    write_parameter_file,
)
from vlasscube.parameters.literals import parse_literal
from vlasscube.parameters.quantities import (
    ANGLE_ARCSEC,
    parse_flux_jy,
    parse_frequency_hz,
    parse_quantity,
    parse_taper,
)
from vlasscube.parameters.uv_ranges import parse_uvrange
from vlasscube.products.headers import fits_text
from vlasscube.products.manifest import Manifest
from vlasscube.recipe import RECIPE
from vlasscube.records import StepRecord
from vlasscube.sky import direction_for_casa, parse_phasecenter, wrapped_deg
from vlasscube.texts import MAX_HEADER_TEXT, MAX_TEXT, header_text, plain_text, printable, printable_lines
from vlasscube.weblog.previews import PreviewList
from vlasscube.weblog.source_stamps import SourceStamps
from vlasscube.workspace import locks
from vlasscube.workspace.record_json import from_json, to_json
from vlasscube.workspace.run_state import RunState

from .promises import attempt, place, target, text_of

MS = "fsid_split_split.ms"
CENTRES_HZ = {spw: 2.028e9 + 0.128e9 * (spw - 2) for spw in range(2, 18)}
RECORDS: Mapping[str, type[Any]] = {
    cls.__name__: cls
    for cls in (
        *(step.result for step in RECIPE.steps),
        StepRecord,
        RunOptions,
        RunState,
        Manifest,
        PreviewList,
        SourceStamps,
    )
}


# ------------------------------------------------------------------------------------- literals, parameters


def is_plain(value: Any) -> bool:
    """Whether a value is made of finite numbers, strings, constants and containers of them."""
    if isinstance(value, dict):
        return all(map(is_plain, [*value, *value.values()]))
    if isinstance(value, list | tuple | set):
        return all(map(is_plain, value))
    return value is None or isinstance(value, bool | int | str) or math.isfinite(value)


@target
def literals(data: bytes) -> None:
    text = text_of(data)
    try:
        value = parse_literal(text)
    except ValueError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 500
        return
    assert is_plain(value)
    assert ast.literal_eval(text.strip()) == value
    if not any(isinstance(item, set) for item in _leaves_and_boxes(value)):
        assert parse_literal(repr(value)) == value


def _leaves_and_boxes(value: Any) -> list[Any]:
    inner = [*value, *value.values()] if isinstance(value, dict) else value
    deeper = inner if isinstance(inner, list | tuple | set) else ()
    return [value, *(found for item in deeper for found in _leaves_and_boxes(item))]


@target
def parameter_list(data: bytes) -> None:
    parameters = attempt(ParameterFileError, read_parameter_file, place("x.list", data))
    if parameters is None:
        return
    again = place("again.list")
    try:
        write_parameter_file(again, parameters)
    except ParameterFileError as error:
        # Quotes and blanks that the writer adds can make a value too long.
        assert "longer than" in str(error)
        assert len(data) > 40_000
        return
    assert read_parameter_file(again) == parameters
    assert again.stat().st_size < 1_000_000
    reloaded = from_json(type(parameters), to_json(parameters))
    assert reloaded == parameters
    if parameters.imaging_mode == "VLASS-SE-CUBE" and parameters.spw is not None:
        assert validate_spw_groups(parameters.spw) == parameters.spw
    if isinstance(parameters.spw, str):
        attempt(ParameterFileError, resolve_continuum_spw, parameters.spw, CENTRES_HZ)
    if parameters.uvrange is not None:
        assert parse_uvrange(parameters.uvrange)
    if parameters.threshold is not None:
        assert parse_flux_jy(parameters.threshold) >= 0


@target
def spw_lists(data: bytes) -> None:
    text = text_of(data)
    found = attempt(ParameterFileError, resolve_continuum_spw, text, CENTRES_HZ)
    if found is not None:
        assert found
        assert set(found) <= CENTRES_HZ.keys()
        assert resolve_continuum_spw(",".join(map(str, found)), CENTRES_HZ) == found
    groups = attempt(ParameterFileError, validate_spw_groups, text.split("|"))
    attempt(ParameterFileError, validate_spw_groups, text.split("|"), CENTRES_HZ)
    if groups is not None:
        assert validate_spw_groups(groups) == groups
        assert [naming.plane_label(group) for group in groups] == [
            f"spw{group.replace(',', '_')}" for group in groups
        ]
        assert [len(group.split(",")) for group in groups] == [
            part.count(",") + 1 for part in text.split("|")
        ]


# ------------------------------------------------------------------------------------------------- names


def is_safe_name(name: str) -> bool:
    return name.isprintable() and not set(name) & set("/\\'\"`*?[]{}") and 0 < len(name.encode()) <= 255


@target
def image_names(data: bytes) -> None:
    text = text_of(data)
    if attempt(NamingError, names.check_image_name, text) is None:
        assert attempt(NamingError, names.parse_image_name, text) is None
        return
    if names.is_official(text):
        assert names.parse_image_name(text).text == text
    nearest = names.nearest_official_name(text, "cc")
    assert nearest is None or names.is_official(nearest)
    assert names.image_identity(text).object_name
    assert is_safe_name(text)
    root = naming.plane_image_root(text, "2,3")
    assert is_safe_name(naming.stokes_variant(f"{root}.iter3.image.pbcor.tt0.rms.subim", "IQU"))
    assert naming.fits_name(f"/x/{root}") == f"{text}.spw2_3.IQUV.fits"
    patterns = naming.resource_patterns(MS, text)
    assert all(text in pattern for key, pattern in patterns.items() if "mask" in key)


@target
def product_names(data: bytes) -> None:
    text = text_of(data)
    product = attempt(NamingError, naming.parse_product_name, text)
    if product is None:
        return
    assert product.text == text.rstrip("/").rpartition("/")[2].rstrip("/") or text.endswith("/.")
    assert naming.parse_product_name(product.text) == product
    assert is_safe_name(product.text)
    if product.spw is not None:
        assert product.label == naming.plane_label(product.spw)


@target
def other_names(data: bytes) -> None:
    text = text_of(data)
    working = attempt(NamingError, naming.working_ms_name, text)
    assert working is None or (is_safe_name(f"{working}.flagversions") and working.endswith("_split.ms"))
    label = attempt(NamingError, naming.plane_label, text)
    if label is not None:
        assert label.removeprefix("spw").split("_") == [part.strip(" ") for part in text.split(",")]
    checked = attempt(NamingError, names.check_file_name, text)
    assert checked is None or (checked == text and is_safe_name(text))
    attempt(NamingError, naming.com_fits_name, text)
    variant = attempt(NamingError, naming.stokes_variant, text, "V")
    if variant is not None:
        directory, slash, base = text.rpartition("/")
        assert variant == directory + slash + ".V.".join(base.rsplit(".IQUV.", 1))
    naming.fits_name(text)


@target
def positions(data: bytes) -> None:
    text = text_of(data)
    centre = attempt(QuantityError, parse_phasecenter, text)
    if centre is not None:
        ra, dec, frame = centre
        assert 0 <= ra < 360
        assert abs(dec) <= 90
        assert set(filter(lambda char: not char.isascii(), text)) <= set("\u2010\u2011\u2013\u2212")
        again = parse_phasecenter(direction_for_casa(text))
        assert again[2] == frame
        assert max(abs(wrapped_deg(again[0] - ra)), abs(again[1] - dec)) < 1e-11
        assert frame in {"J2000", "ICRS"}
        assert parse_phasecenter(" ".join(text.split())) == centre
    position = naming.parse_field_position(text)
    if position is not None:
        assert naming.is_vlass_field_name(text)
        name = naming.format_field_name(*position)
        assert name == text.strip('"').replace("-000000", "+000000") or position[1] == 0
    assert naming.is_vlass_field_name(text) == text.removeprefix('"').startswith(("0", "1", "2", "T"))


# ------------------------------------------------------------------------------------------------ records


@target
def records(data: bytes) -> object:
    """A line with the name of the record, then its JSON."""
    name, _, content = data.partition(b"\n")
    cls = RECORDS.get(name.decode("latin-1"))
    if cls is None:
        return None
    record = attempt(WorkspaceError, from_json, cls, content)
    if record is None:
        return cls.__name__, "refused"
    assert type(record) is cls
    text = to_json(record)
    json.loads(text, parse_constant=_no_constant)
    if "null" not in text:
        # Numbers that are none can stand where anything may, and become null.
        assert from_json(cls, text) == record
    assert to_json(from_json(cls, text)) == text
    if cls is RunOptions:
        assert all(spw >= 0 for spw in record.excluded_spw_ids)
    return cls.__name__, "accepted"


def _no_constant(text: str) -> None:
    raise AssertionError(f"{text} is no JSON")


@target
def run_options(data: bytes) -> None:
    text = text_of(data)
    options = attempt(ProblemListError, RunOptions, reject_exclude_spw=text)
    if options is not None:
        parts = [part.strip() for part in text.split(",")] if text else []
        assert options.excluded_spw_ids == frozenset(map(int, parts))
        assert from_json(RunOptions, to_json(options)) == options
    given = attempt(typer.BadParameter, _spw_list, text)
    if given is not None:
        combined = combined_options(None, {"reject_exclude_spw": given, "nmajor": 0})
        assert options is not None or not text.strip()
        assert combined.excluded_spw_ids == (options or RunOptions()).excluded_spw_ids


@target
def stage_names(data: bytes) -> None:
    text = text_of(data)
    entry = attempt(StageOrderError, RECIPE.find, text)
    if entry is not None:
        assert entry in RECIPE
        assert RECIPE.find(entry.name) is RECIPE.find(str(entry.number)) is entry


@target
def flag_templates(data: bytes) -> None:
    text = text_of(data)
    commands = attempt(ParameterFileError, template_commands, text, "x.txt")
    if commands is None:
        return
    assert template_commands("\n".join(commands), "x.txt") == commands
    for command in commands:
        assert command.isprintable()
        _no_code(command)


def _no_code(command: str) -> None:
    """Take a command apart as CASA's flaghelper does, with something harmless for its ``eval``."""
    new: list[str] = []
    for entry in command.replace("true", "True").replace("false", "False").strip().split(" "):
        if "=" not in entry:
            new[-1] += " " + entry
        else:
            new.append(entry)
    for key, value in (entry.split("=", 1) for entry in new):
        if value.startswith("{"):
            ast.literal_eval(value)
        elif key in {"timedev", "freqdev", "autocorr"}:
            assert not isinstance(ast.literal_eval(value), str)


@target
def lock_owner(data: bytes) -> None:
    with io.TextIOWrapper(io.BytesIO(data), encoding="utf-8") as stream:
        owner = locks._owner(stream)
    if owner is not None:
        printable(str(owner))


# -------------------------------------------------------------------------------------------------- texts


@target
def texts(data: bytes) -> None:
    text = text_of(data)
    shown = plain_text(text)
    assert shown.isprintable()
    assert len(shown) <= MAX_TEXT
    assert plain_text(shown) == shown
    value = header_text(text)
    assert value.isascii()
    assert value.isprintable()
    assert len(value) + value.count("'") <= MAX_HEADER_TEXT
    card = fits.Card("OBSERVER", value)
    card.verify("exception")
    # A word, a colon and a number are a number to astropy.
    if re.fullmatch(r"[\w.]+: +[-+.\dEeDd]+ *", value) is None:
        assert fits.Card.fromstring(str(card)).value == value.rstrip()
    plain = printable(text)
    assert plain.isprintable()
    plain.encode("utf-8")
    assert printable(plain) == plain
    assert printable_lines(text).replace("\n", "").isprintable()
    assert fits_text(text).isascii()
    assert len(fits_text(text, 60)) <= 60


@target
def quantities(data: bytes) -> None:
    text = text_of(data)
    flux = attempt(QuantityError, parse_flux_jy, text)
    assert flux is None or math.isfinite(flux)
    frequency = attempt(QuantityError, parse_frequency_hz, text)
    assert frequency is None or (math.isfinite(frequency) and frequency > 0)
    angle = attempt(QuantityError, parse_quantity, text, ANGLE_ARCSEC, "an angle", "1arcsec")
    assert angle is None or math.isfinite(angle)
    taper = attempt(QuantityError, parse_taper, tuple(text.split(",")))
    if taper is not None:
        assert all(map(math.isfinite, vars(taper).values()))
        assert min(list(vars(taper).values())[:2]) >= 0


@target
def selections(data: bytes) -> None:
    text = text_of(data)
    ids = attempt(MeasurementSetError, selected_ids, text, "field")
    assert ids is None or all(number >= 0 for number in ids)
    ranges = attempt(QuantityError, parse_uvrange, text)
    for limits in ranges or ():
        assert not math.isnan(limits.low + limits.high)
