"""The simulation judges the imager, so it has nothing of it."""

import ast
from pathlib import Path

import vlasscube.simulation

PACKAGE = Path(vlasscube.simulation.__file__).parent
JUDGED = ("vlasscube.mosaic", "vlasscube.imaging", "vlasscube.kernels", "vlasscube.measurement_set")


def test_no_module_imports_what_it_judges():
    modules = sorted(PACKAGE.glob("*.py"))
    assert len(modules) > 15
    for path in modules:
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            assert not any(name.startswith(JUDGED) for name in names), (path.name, names)
