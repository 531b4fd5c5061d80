"""Flagging templates: what CASA would run as Python does not reach it. Oracle: CASA's own parser."""

from __future__ import annotations

import pytest

from vlasscube.errors import ParameterFileError
from vlasscube.measurement_set.flag_template import template_commands

GOOD = """
# of this observation
mode='manual' spw='2:0~15;20' antenna='ea05&&ea06' timerange='10:00:00~10:20:00'
  mode=manual spw=2:0~15 antenna=ea01
mode=clip clipminmax=[0.0,5.0] clipoutside=true reason='too high'
mode='rflag' timedev=[[1,2,0.1]] freqdev=5.0 extendflags=False
mode='shadow' addantenna={'antenna1':{'diameter':25.0,'name':'VA07'}}
"""


def test_commands():
    commands = template_commands(GOOD, "x.txt")
    assert commands == tuple(line.strip() for line in GOOD.splitlines()[2:])
    assert template_commands("", "x.txt") == ()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("mode='clip' clipminmax={__import__('os').system('true')}", "clipminmax: '__import__'"),
        ("mode='clip' clipminmax={}[exit()]", "clipminmax"),
        ("mode='rflag' timedev='exit()'", "timedev: expected a number"),
        ("mode='rflag' timedev=exit", "timedev"),
        ("mode='rflag' freqdev='exit()'", "freqdev: expected a number"),
        ("mode='manual' autocorr='exit()'", "autocorr: expected a number"),
        ("mode='manual' reason='a b=c'", "quote"),
        ("mode='clip' clipminmax=[exit()]", "clipminmax"),
        ("mode='manual' spw= '2'", "blank"),
        ("manual", "is not parameter=value"),
        ("mode='manual'\tspw='2'", "control characters"),
        ("mode='manual' 2='x'", "not the name of a parameter"),
        ("mode='" + "x" * 20_000 + "'", "longer"),
    ],
)
def test_refused(line, reason):
    with pytest.raises(ParameterFileError, match=reason) as caught:
        template_commands(f"mode='manual'\n\n{line}\n", "x.txt")
    (problem,) = caught.value.problems
    assert problem.startswith("x.txt:3: ")
    assert caught.value.hint


def test_many_problems_are_told_in_short():
    with pytest.raises(ParameterFileError) as caught:
        template_commands("nothing\n" * 100_000, "x.txt")
    assert len(caught.value.problems) == 101


@pytest.mark.casa
def test_casa_reads_the_commands_as_they_are_meant_and_would_run_the_others(tmp_path):
    from vlasscube import casa

    casa.configure()
    from casatasks.private import flaghelper

    read = flaghelper.parseDictionary(list(template_commands(GOOD, "x.txt")), shadow=False)
    commands = [row["command"] for row in read.values()]
    assert commands[0]["antenna"] == "ea05&&ea06"
    assert commands[2]["clipminmax"] == [0.0, 5.0]
    assert commands[4]["addantenna"]["antenna1"]["name"] == "VA07"
    # If this fails CASA has mended it, and the vetting may be relaxed.
    witness = tmp_path / "run"
    flaghelper.parseDictionary([f"mode='clip' clipminmax={{open('{witness}','w')}}"], shadow=False)
    assert witness.exists()
