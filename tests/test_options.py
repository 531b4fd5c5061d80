import pytest

from vlasscube.errors import ProblemListError
from vlasscube.options import RunOptions


@pytest.mark.parametrize(
    ("choices", "problem"),
    [
        ({"engine": "casa", "gridding": "exact"}, "gridding 'exact'"),
        ({"w_correction": True}, "w_correction needs"),
        ({"engine": "casa", "w_correction": True}, "w_correction needs"),
    ],
)
def test_choices_that_an_engine_cannot_honour_are_refused(choices, problem):
    with pytest.raises(ProblemListError) as caught:
        RunOptions(**choices)
    assert any(problem in text for text in caught.value.problems)


def test_choices_that_go_together():
    assert RunOptions(gridding="exact", w_correction=True).engine == "mosaic"
    assert RunOptions(engine="casa").gridding == "casa"
