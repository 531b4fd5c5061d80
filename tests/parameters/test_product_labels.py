"""What vlasscube.toml adds to what an image name says."""

from __future__ import annotations

import pytest

from vlasscube.errors import ParameterFileError
from vlasscube.image_names import ImageIdentity, image_identity
from vlasscube.parameters.product_labels import product_identity

OFFICIAL = "VLASS2.1.cc.T10t02.J005000-023000.06.2048.v1"


@pytest.fixture
def identity(tmp_path):
    def read(content: str | bytes, name: str = "Coarse_Test") -> ImageIdentity:
        path = tmp_path / "vlasscube.toml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return product_identity(path, name)

    return read


def problems_of(identity, *args) -> list[str]:
    with pytest.raises(ParameterFileError) as caught:
        identity(*args)
    assert "tile, epoch, version, object" in caught.value.hint
    return list(caught.value.problems)


def test_without_the_file_the_name_says_all(tmp_path):
    for name in (OFFICIAL, "Coarse_Test"):
        assert product_identity(tmp_path / "vlasscube.toml", name) == image_identity(name)


def test_the_file_adds_what_the_name_does_not_say(identity):
    text = '# mine\ntile = "T10t02"\nepoch = 2.1\nversion = 3\nobject = "3C 286"\n'
    assert identity(text) == ImageIdentity("3C 286", "T10t02", "2.1", "3")
    assert identity('epoch="2.1"\r\n') == ImageIdentity("Coarse_Test", None, "2.1", None)
    assert identity("") == ImageIdentity("Coarse_Test")
    assert identity("\ufeff# a comment") == ImageIdentity("Coarse_Test")
    partly = identity('version = "2"', f"{OFFICIAL}.mine")
    assert partly == ImageIdentity("J005000-023000", "T10t02", "2.1", "2")


def test_the_file_may_repeat_what_an_official_name_says_and_no_more(identity):
    assert identity('tile = "T10t02"\nversion = 1\nobject="J005000-023000"', OFFICIAL) == image_identity(
        OFFICIAL
    )
    (problem,) = problems_of(identity, 'tile = "T10t03"\n', OFFICIAL)
    assert problem == f"vlasscube.toml: tile is 'T10t03', but imagename '{OFFICIAL}' says 'T10t02'"


def test_all_problems_at_once(identity):
    found = problems_of(
        identity, 'tiel = "T10t02"\nepoch = true\nversion = "a b"\nobject = "é"\ntile = ["T10t02"]\n[x]\n'
    )
    assert [text.split(": ", 1)[1] for text in found] == [
        "unknown key 'tiel'; did you mean 'tile'?",
        'epoch: expected a string, e.g. tile = "T10t02"',
        "version: expected up to 40 letters, digits and . _ + -, not 'a b'",
        "object: expected 1 to 68 printable ASCII characters, not 'é'",
        'tile: expected a string, e.g. tile = "T10t02"',
        "unknown key 'x'",
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("tile = T10t02", "is not TOML"),
        ("tile", "is not TOML"),
        ('tile="a"\ntile="b"', "is not TOML"),
        (b"\xff", "not UTF-8"),
        (b"#" * 100_001, "larger"),
        ("x = " + "[" * 50_000, "is not TOML"),
        ('object = "\\u0000"', "object"),
        ("epoch = nan", "epoch: expected a string"),
        ("epoch = 2020-01-01", "epoch: expected a string"),
    ],
)  # fmt: skip
def test_refused_files(identity, content, reason):
    (problem,) = problems_of(identity, content)
    assert problem.startswith("vlasscube.toml: ")
    assert reason in problem
    assert len(problem) < 400


def test_a_directory_is_refused(tmp_path):
    (tmp_path / "vlasscube.toml").mkdir()
    with pytest.raises(ParameterFileError, match="Is a directory"):
        product_identity(tmp_path / "vlasscube.toml", "x")
