import numpy as np
import pytest

from vlasscube.records import STOKES
from vlasscube.stokes_codes import CASACORE_CODES, CIRCULAR_CORRELATIONS, FITS_CODES, correlation_name


@pytest.mark.casa
def test_codes_are_those_of_casacore():
    from vlasscube import casa

    for name, code in CASACORE_CODES.items():
        axes = casa.tools().coordsys().newcoordsys(stokes=[name])
        try:
            found = float(axes.referencevalue(format="n")["numeric"][0])
        finally:
            axes.done()
        assert found == code, name


def test_names_of_codes():
    assert [correlation_name(code) for code in (5, 6, 7, 8)] == list(CIRCULAR_CORRELATIONS)
    assert [correlation_name(code) for code in (13, 14, 15, 16)] == ["RX", "RY", "LX", "LY"]
    assert correlation_name(99) == "99"
    assert len(set(CASACORE_CODES.values())) == len(CASACORE_CODES) == 32


def test_fits_counts_its_images_from_one():
    # FITS standard, conventional values of the axis STOKES.
    assert {name: FITS_CODES[name] for name in STOKES} == {"I": 1, "Q": 2, "U": 3, "V": 4}
    assert np.diff(list(FITS_CODES.values())).tolist() == [1, 1, 1]
