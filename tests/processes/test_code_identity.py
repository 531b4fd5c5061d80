"""What the code is, so that code that changed is never taken for code that did not."""

import subprocess
import sys

import pytest

from vlasscube import _kernels
from vlasscube.errors import CodeChangedError
from vlasscube.processes import code_identity
from vlasscube.processes.code_identity import PACKAGE, code_digest, require_same_code, source_files


@pytest.fixture
def package(tmp_path, monkeypatch):
    (tmp_path / "stages").mkdir()
    (tmp_path / "weblog").mkdir()
    for name in ("naming.py", "stages/pbcor.py", "weblog/pages.py", "kernels.so", "notes.txt"):
        (tmp_path / name).write_text("x = 1\n")
    monkeypatch.setattr(code_identity, "PACKAGE", tmp_path)
    monkeypatch.setattr(code_identity, "_kernels", lambda: tmp_path / "kernels.so")
    return tmp_path


def digest_anew():
    return code_digest.__wrapped__()


@pytest.mark.parametrize("name", ["naming.py", "stages/pbcor.py", "kernels.so"])
def test_one_byte_of_what_makes_results_is_another_code(package, name):
    before = digest_anew()
    assert digest_anew() == before
    (package / name).write_text("x = 2\n")
    assert digest_anew() != before


def test_a_file_more_or_of_another_name_is_another_code(package):
    before = digest_anew()
    (package / "stages" / "more.py").write_text("")
    more = digest_anew()
    (package / "stages" / "more.py").rename(package / "more.py")
    assert len({before, more, digest_anew()}) == 3


@pytest.mark.parametrize("name", ["weblog/pages.py", "notes.txt"])
def test_what_only_shows_results_is_not(package, name):
    before = digest_anew()
    (package / name).write_text("x = 2\n")
    assert digest_anew() == before


def test_the_installed_package_is_the_one_that_counts():
    names = {path.relative_to(PACKAGE).as_posix() for path in source_files(PACKAGE)}
    assert {"naming.py", "mosaic/imager.py", "products/headers.py", "run/steps.py"} <= names
    assert not any(name.startswith(("cli/", "weblog/", "simulation/", "testing/")) for name in names)
    assert code_identity._kernels().samefile(_kernels.__file__)
    elsewhere = subprocess.run(
        [
            sys.executable,
            "-c",
            "from vlasscube.processes.code_identity import code_digest; print(code_digest())",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert elsewhere.stdout.strip() == code_digest()


def test_nothing_is_imported_by_the_rooms_that_count_from_those_that_do_not():
    """Only for looks: who imports the web log makes pages and pictures, or names them, no results."""
    importing = {
        path.relative_to(PACKAGE).as_posix()
        for path in source_files(PACKAGE)
        if any(f"vlasscube.{room}" in path.read_text() for room in code_identity.WITHOUT_INFLUENCE)
    }
    assert importing == {"run/plane_walk.py", "run/preflight.py", "run/workflow.py"}


def test_other_code_is_refused():
    require_same_code(code_digest())
    with pytest.raises(CodeChangedError) as caught:
        require_same_code("0123")
    assert "0123" in caught.value.message
    assert caught.value.hint
