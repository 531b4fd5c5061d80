"""Stage 5 on a small measurement set. Oracle: flags set by numpy, and counted by it."""

from __future__ import annotations

import numpy as np
import pytest

from vlasscube import casa
from vlasscube.errors import CasaTaskError, ParameterFileError, VlassCubeError
from vlasscube.measurement_set.restore import RESTORED_FLAGS, save_flags
from vlasscube.records import FlagCount
from vlasscube.stages.context import StageContext
from vlasscube.stages.flag_targets_data import FlagInputs, flag_targets_data
from vlasscube.workspace.directory import Workspace

pytestmark = pytest.mark.casa
SPWS = (1, 2)
TEMPLATE = "small_split_split.flagtargetstemplate.txt"


def read_flags(ms, spw):
    """Flags [corr, chan, row] of a spectral window, and its field, antennas by row."""
    with casa.table(ms) as table:
        rows = table.query(f"DATA_DESC_ID=={spw}", sortlist="TIME,ANTENNA1,ANTENNA2")
        try:
            return [rows.getcol(name) for name in ("FLAG", "FIELD_ID", "ANTENNA1", "ANTENNA2")]
        finally:
            rows.close()


@pytest.fixture
def ms(casa_session, small_ms):
    """A working measurement set with flags as restored: a sixth of them, and a channel of window 2."""
    workspace = Workspace(small_ms.parent)
    workspace.working.mkdir()
    path = workspace.working / "small_split_split.ms"
    small_ms.rename(path)
    rng = np.random.default_rng(8)
    with casa.table(path, writable=True) as table:
        for row in range(table.nrows()):
            flags = rng.random(table.getcell("FLAG", row).shape) < 1 / 6
            flags[:, 3:] |= table.getcell("DATA_DESC_ID", row) == 2
            table.putcell("FLAG", row, flags)
        # CASA's simulator flags rows (shadowed antennas), which FLAG no longer says.
        table.putcol("FLAG_ROW", np.zeros(table.nrows(), bool))
    save_flags(path, RESTORED_FLAGS, "as restored")
    return path


def run(ms, text="", name=TEMPLATE):
    context = StageContext(Workspace(ms.parent.parent), "flag_targets_data")
    inputs = FlagInputs(ms.name, name if text else "", text, SPWS, ("key",))
    return flag_targets_data(inputs, context), context


def counted(ms):
    """Flag counts by spectral window and field."""
    found = {}
    for spw in SPWS:
        flags, field, *_ = read_flags(ms, spw)
        found[spw] = {
            int(number): FlagCount(int(flags[:, :, field == number].sum()), flags[:, :, field == number].size)
            for number in np.unique(field)
        }
    return found


def by_field(result):
    return {spw: {f.field_id: f.by_spw[spw] for f in result.fields if spw in f.by_spw} for spw in SPWS}


def test_without_a_template_flags_stay_as_restored_and_are_counted(ms):
    before = {spw: read_flags(ms, spw)[0] for spw in SPWS}
    result, context = run(ms)
    for spw in SPWS:
        np.testing.assert_array_equal(read_flags(ms, spw)[0], before[spw])
        total = FlagCount(int(before[spw].sum()), before[spw].size)
        assert result.before[spw] == result.after[spw] == total
    assert set(result.before) == set(SPWS)
    assert by_field(result) == counted(ms)
    assert result.unflagged_channels == {1: 4, 2: 3}
    assert (result.template, result.commands) == ("", ())
    lost = {spw: int((~flags & flags.any(axis=0)).sum()) for spw, flags in before.items()}
    (told,) = [message for message in context.messages if "another correlation" in message.text]
    assert (told.level, told.text.startswith(str(sum(lost.values())))) == ("warning", True)
    for spw, number in lost.items():
        assert f"spw {spw} {number / (~before[spw]).sum():.2%}" in told.text
    others = [message for message in context.messages if message != told]
    assert [(m.level, m.text) for m in others] == [("info", "no flagging template: flags stay as restored")]
    assert [(o.path, o.digest) for o in context.outputs] == [(f"working/{ms.name}", "")]


def test_the_template_flags_what_it_says_on_top(ms):
    expected, restored = {}, {}
    for spw in SPWS:
        flags, field, first, second = read_flags(ms, spw)
        restored[spw] = flags.copy()
        if spw == 1:
            flags[:, :, (first == 0) | (second == 0)] = True
        else:
            flags[:, 1, field == 1] = True
        expected[spw] = flags
    result, context = run(
        ms, "mode='manual' spw='1' antenna='ea01'\n# no more\nmode=manual spw=2:1 field=0050127-023000\n"
    )
    for spw in SPWS:
        np.testing.assert_array_equal(read_flags(ms, spw)[0], expected[spw])
        assert result.before[spw].flagged == restored[spw].sum()
        assert result.after[spw].flagged == expected[spw].sum() > restored[spw].sum()
    assert by_field(result) == counted(ms)
    assert result.template == TEMPLATE
    assert result.commands == (
        "mode='manual' spw='1' antenna='ea01'",
        "mode=manual spw=2:1 field=0050127-023000",
    )
    assert all("another correlation" in message.text for message in context.messages)


def test_done_again_starts_from_the_flags_as_restored(ms):
    untouched = {spw: read_flags(ms, spw)[0] for spw in SPWS}
    first, _ = run(ms, "mode='manual' spw='1:0'\n")
    flags = read_flags(ms, 1)[0]
    assert run(ms, "mode='manual' spw='1:0'\n")[0] == first
    np.testing.assert_array_equal(read_flags(ms, 1)[0], flags)
    assert first.unflagged_channels == {1: 3, 2: 3}
    other, _ = run(ms, "mode='manual' spw='2:0~1'\n")
    assert other.before == first.before
    assert other.unflagged_channels == {1: 4, 2: 1}
    np.testing.assert_array_equal(read_flags(ms, 1)[0], untouched[1])
    run(ms)
    for spw in SPWS:
        np.testing.assert_array_equal(read_flags(ms, spw)[0], untouched[spw])


def test_a_window_without_anything_left(ms):
    result, _ = run(ms, "mode='manual' spw='2'\n")
    assert result.after[2].fraction == 1.0
    assert result.unflagged_channels == {1: 4, 2: 0}


def test_a_template_that_is_not_understood_changes_nothing(ms):
    flags = {spw: read_flags(ms, spw)[0] for spw in SPWS}
    with pytest.raises(ParameterFileError, match="not parameter=value") as caught:
        run(ms, "mode='manual' spw='1'\nmanual\n")
    assert caught.value.problems[0].startswith(f"{TEMPLATE}:2: ")
    for spw in SPWS:
        np.testing.assert_array_equal(read_flags(ms, spw)[0], flags[spw])


@pytest.mark.parametrize("suffix", ["", ".flagversions"])
def test_without_measurement_set_or_saved_flags(ms, suffix):
    path = ms.with_name(ms.name + suffix)
    path.rename(path.with_name("elsewhere"))
    with pytest.raises((CasaTaskError, VlassCubeError)):
        run(ms, "mode='manual' spw='1'\n")
