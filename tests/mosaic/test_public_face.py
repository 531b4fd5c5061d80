"""The imager as a library: what it gives by name, what it does not import, and the documented example."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vlasscube import mosaic

DOCUMENT = Path(__file__).parents[2] / "docs" / "imaging-engine.md"
FOREIGN = {"astropy", "casaconfig", "casacore", "casatasks", "casatools", "matplotlib", "pydantic", "typer"}
OWN = {"_kernels", "constants", "errors", "mosaic", "records", "sky"} | {
    "clean_terms", "id_lists", "image_names", "naming", "texts"
}  # fmt: skip
"""What mosaic/ may import of the package: light modules of its root, and what its records know."""


def in_a_fresh_process(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_the_imager_is_imported_without_the_workflow():
    modules = set(
        in_a_fresh_process(
            "import json, pkgutil, sys\n"
            "from vlasscube import mosaic\n"
            "for module in pkgutil.iter_modules(mosaic.__path__):\n"
            "    __import__(f'vlasscube.mosaic.{module.name}')\n"
            "for name in mosaic.__all__:\n"
            "    getattr(mosaic, name)\n"
            "print(json.dumps(sorted(sys.modules)))"
        )
    )
    assert "vlasscube.mosaic.imager" in modules
    assert not FOREIGN & {name.partition(".")[0] for name in modules}
    rooms = {name.split(".")[1] for name in modules if name.startswith("vlasscube.")}
    assert rooms <= OWN


def test_the_library_itself_is_light():
    modules = in_a_fresh_process(
        "import json, sys, vlasscube.mosaic.memory\nprint(json.dumps(sorted(sys.modules)))"
    )
    assert "numpy" not in modules


@pytest.mark.parametrize("name", mosaic.__all__)
def test_all_names_are_there_and_documented(name):
    # Also after the modules have been imported, of which one might hide a function of its name.
    value = getattr(mosaic, name)
    assert callable(value)
    # Not what dataclasses make up.
    assert value.__doc__
    assert not value.__doc__.startswith(f"{name}(")
    assert name in dir(mosaic)


def test_other_names_are_refused():
    with pytest.raises(AttributeError, match=r"vlasscube\.mosaic.*'deconvolve'"):
        _ = mosaic.deconvolve


def test_the_example_of_the_documentation(capsys):
    section = DOCUMENT.read_text(encoding="utf-8").partition("## Using the imager by itself")[2]
    (code,) = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    names = {}
    exec(code, names)
    assert capsys.readouterr().out == "1.00 Jy\n"
    x, y, pb = names["x"], names["y"], names["pb"]
    assert names["image"][y, x] / pb[y, x] == pytest.approx(1.0, abs=0.01)
    assert 0.5 < pb[y, x] < 0.95
    # The dirty image has the source, too, but with the sidelobes of the psf around it.
    assert np.unravel_index(names["dirty"][0].argmax(), pb.shape) == (y, x)
    assert np.abs(names["state"].residual).max() < 2e-3
