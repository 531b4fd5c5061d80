"""What the direct tests of stages work on: the images of a plane, and a field of three pointings."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from vlasscube import casa, naming
from vlasscube.images.mosaic_images import ImageHeader, write_mosaic_image
from vlasscube.mosaic.visibilities import ObservationInfo
from vlasscube.records import Beam, ImageGeometry
from vlasscube.simulation import SimulationRecord, preset, simulate
from vlasscube.workspace.directory import Workspace
from vlasscube.workspace.files import digest

ROOT = "s7_0.name.spw2.IQUV.iter3"
GEOMETRY = ImageGeometry(72, 60, 6.0, "J2000 10:00:00.000 +34.00.00.0000")


@pytest.fixture(scope="session")
def casa_session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CASA, logging into a directory of its own; returns the log of the calls."""
    directory = tmp_path_factory.mktemp("casa")
    casa.configure(directory / "casa.log", directory / "calls.py")
    return directory / "calls.py"


def _write_plane(working: Path) -> dict[str, np.ndarray]:
    """Write the final images of a plane; return their pixels [stokes, y, x], NaN where masked.

    The Stokes planes differ in all images, so that one that is taken for another is seen.
    """
    observation = ObservationInfo("EVLA", "me", 5.1e9, "field", ((-1.6e6, -5e6, 3.5e6),))
    header = ImageHeader(GEOMETRY, 3e9, 128e6, 2.9e9, observation)
    rng = np.random.default_rng(3)
    y, x = np.indices((GEOMETRY.ny, GEOMETRY.nx))
    response = np.exp(-((y - 29) ** 2 + (x - 37) ** 2) / 500.0)
    good = response > 0.1
    scale = np.array([1.0, 0.5, 0.25, 0.12])[:, None, None]
    noise = {kind: rng.normal(0, 1, (4, GEOMETRY.ny, GEOMETRY.nx)) for kind in ("image", "residual", "psf")}
    planes = {
        "image": 1e-4 * scale * noise["image"],
        "residual": 9e-5 * scale * noise["residual"],
        "psf": scale * noise["psf"],
        "pb": response * (1 - 0.01 * np.arange(4))[:, None, None],
    }
    masked = {"residual", "pb"}
    made = {}
    for kind, pixels in planes.items():
        values = pixels.astype(np.float32)
        write_mosaic_image(
            working / naming.tclean_product(ROOT, kind),
            kind,
            header,
            values * good if kind in masked else values,
            mask=good if kind in masked else None,
            beams=[] if kind == "pb" else [Beam(15.0, 12.0, 20.0)] * 4,
        )
        made[kind] = np.where(good, values, np.float32(np.nan)) if kind in masked else values
    return made


@pytest.fixture
def plane(casa_session: Path, tmp_path: Path) -> SimpleNamespace:
    """A run directory with the final images of a plane, and their pixels."""
    workspace = Workspace(tmp_path)
    workspace.working.mkdir()
    pixels = _write_plane(workspace.working)
    return SimpleNamespace(workspace=workspace, root=ROOT, geometry=GEOMETRY, **pixels)


@pytest.fixture(scope="session")
def simulated(casa_session: Path, tmp_path_factory: pytest.TempPathFactory) -> SimulationRecord:
    """Three pointings, two spectral windows and two sources, with their continuum run; not to be changed."""
    parameters = preset(
        "tiny",
        rows=1,
        fields_per_row=3,
        science_spws=(2, 3),
        channels=3,
        antennas=8,
        imsize=(96, 96),
        points=2,
        source_margin_arcmin=2.0,
        flux_range_jy=(0.2, 0.4),
        continuum_model="truth",
    )
    return simulate(tmp_path_factory.mktemp("simulated") / "field", parameters)


def digests(*paths: Path) -> list[str]:
    """Digests of files and directories, which stay as long as nothing in them changes."""
    return [digest(path) for path in paths]
