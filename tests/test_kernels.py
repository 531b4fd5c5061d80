"""The compiled extension as the type checker sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

import vlasscube
from vlasscube import _kernels

STUB = Path(vlasscube.__file__).with_name("_kernels.pyi")


def test_the_stub_is_what_stubgen_writes_for_the_extension():
    stubgen = pytest.importorskip("nanobind.stubgen")
    generator = stubgen.StubGen(module=_kernels)
    generator.put(_kernels)
    assert STUB.read_text() == generator.get(), (
        "write it anew: python -m nanobind.stubgen -m vlasscube._kernels -o src/vlasscube/_kernels.pyi"
    )


def test_the_stub_names_the_types_of_arrays():
    # Without them mypy would take any array for any other.
    text = STUB.read_text()
    assert "Any" not in text
    assert "ndarray" not in text
    assert "NDArray[numpy.complex64]" in text
