"""What others can test with: it costs nothing to import, and its example works."""

import doctest
import pkgutil
import subprocess
import sys

from vlasscube import testing

NAMES = sorted(module.name for module in pkgutil.iter_modules(testing.__path__))
HEAVY = ("pytest", "_pytest", "hypothesis", "casatools", "casatasks", "matplotlib", "playwright")


def test_modules_import_neither_a_test_framework_nor_casa():
    imports = "; ".join(f"import vlasscube.testing.{name}" for name in NAMES)
    found = subprocess.run(
        [sys.executable, "-c", f"{imports}; import sys; print(*sys.modules.keys() & set({HEAVY}))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split() == []


def test_every_module_is_told_of():
    assert all(f"`{name}`" in testing.__doc__ for name in NAMES)


def test_the_example():
    assert doctest.testmod(testing).attempted >= 5
    assert doctest.testmod(testing).failed == 0
