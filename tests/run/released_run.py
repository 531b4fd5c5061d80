"""A finished run of the release 0.1.0, as it was left: parameter lists, records, products.

Two planes of 96 pixels (preset tiny, seed 3), without the web log, whose archive is missing in the products.
"""

import tarfile
from pathlib import Path

ARCHIVE = Path(__file__).with_name("released_run_0.1.0.tar.xz")


def unpack_released_run(directory: Path) -> Path:
    directory.mkdir(parents=True)
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(directory, filter="data")
    return directory
