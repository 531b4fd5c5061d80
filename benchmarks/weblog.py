"""What the web log costs: ``python benchmarks/weblog.py run DIR | plane IMAGE [SIZE] | remake DIR``.

``run``     simulate the demo in DIR and make its cube in one process: the web log's share of its time.
``plane``   all pictures of a plane of SIZE² pixels (6202 by default), noise with the coordinates of IMAGE.
``remake``  all pictures and pages of a finished run once more, and their size.
"""

import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np

from vlasscube import Workspace, casa, run_workflow
from vlasscube.casacore_tables import describe_image, write_image
from vlasscube.images.casa_images import open_image
from vlasscube.records import STOKES
from vlasscube.run import plane_walk, workflow
from vlasscube.simulation import simulate
from vlasscube.simulation.presets import preset
from vlasscube.weblog.picture_making import make_missing_pictures
from vlasscube.weblog.previews import Preview, _Maker
from vlasscube.weblog.render import render_weblog
from vlasscube.weblog.shown_images import ShownImage
from vlasscube.weblog.upkeep import WeblogUpkeep

IMAGES_OF_A_PLANE = (
    *(ShownImage(f"iter{n}.residual", "image", "", "symmetric") for n in range(4)),
    *(ShownImage(f"iter{n}.image", "image", "", "intensity") for n in range(1, 4)),
    *(ShownImage(f"iter{n}.cleanmask", "image", "", "mask", ("I",)) for n in range(1, 4)),
    ShownImage("model", "image", "", "model"),
    ShownImage("psf", "image", "", "psf", ("I",)),
    ShownImage("pb", "image", "", "response", ("I",)),
    ShownImage("pbcor", "image", "", "intensity"),
    ShownImage("residual_pbcor", "image", "", "symmetric"),
    ShownImage("rms", "image", "", "noise"),
    ShownImage("cutout.pbcor", "image", "", "intensity"),
    ShownImage("cutout.residual_pbcor", "image", "", "symmetric"),
    ShownImage("cutout.rms", "image", "", "noise"),
    ShownImage("cutout.pb", "image", "", "response", ("I",)),
)
"""As many and of the kinds that a run shows; the cutouts here as large as the image."""


def size_mb(directory: Path) -> float:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()) / 1e6


def timed(function: Callable[..., Any], seconds: Counter[str], name: str) -> Callable[..., Any]:
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            seconds[name] += time.perf_counter() - start

    return call


def run(directory: Path) -> None:
    if not (directory / "truth").is_dir():
        directory.parent.mkdir(parents=True, exist_ok=True)
        casa.configure(directory.parent / f"{directory.name}-simulation.log")
        simulate(directory, preset("demo"), seed=1)
    for made in ("working", "records", "products", "weblog"):
        shutil.rmtree(directory / made, ignore_errors=True)
    seconds: Counter[str] = Counter()
    for module in (plane_walk, workflow):
        module.make_pictures_of = timed(module.make_pictures_of, seconds, "pictures")  # type: ignore[attr-defined]
    WeblogUpkeep.finish = timed(WeblogUpkeep.finish, seconds, "pages and figures")  # type: ignore[method-assign]
    start = time.perf_counter()
    run_workflow(Workspace(directory), workers=0)
    total = time.perf_counter() - start
    for name, spent in seconds.items():
        print(f"{name}: {spent:.1f} s, {100 * spent / total:.1f} % of the run")
    print(f"run: {total:.1f} s; web log: {size_mb(directory / 'weblog'):.0f} MB")


def plane(side: int, template: Path) -> None:
    """``template`` is any IQUV image with coordinates, e.g. of a demo."""
    with tempfile.TemporaryDirectory(dir=".") as scratch:
        path = Path(scratch) / "image"
        description = describe_image(template)
        noise = np.random.default_rng(1).normal(0, 1.5e-4, (side, side)).astype(np.float32)
        write_image(
            path,
            [noise] * len(STOKES),
            (1, len(STOKES), side, side),
            coordinates=description.coordinates,
            keywords=description.keywords,
        )
        made: list[Preview] = []
        start, processor = time.perf_counter(), time.process_time()
        for image in IMAGES_OF_A_PLANE:
            with open_image(path) as reader:
                for stokes in image.stokes:
                    made.append(_Maker(reader, image, stokes, None, 0.6).make("spw2", Path(scratch)))
        wall, used = time.perf_counter() - start, time.process_time() - processor
        size = sum((Path(scratch) / name).stat().st_size for p in made for name in (p.picture, p.data)) / 1e6
        print(f"{len(made)} pictures of {side} x {side}: {wall:.1f} s, {used:.1f} s processor, {size:.1f} MB")


def remake(directory: Path) -> None:
    workspace = Workspace(directory)
    shutil.rmtree(workspace.weblog, ignore_errors=True)
    start = time.perf_counter()
    make_missing_pictures(workspace, lambda text, fraction: None)
    pictures = time.perf_counter() - start
    render_weblog(workspace)
    pages = time.perf_counter() - start - pictures
    print(f"pictures {pictures:.1f} s, pages and figures {pages:.1f} s, {size_mb(workspace.weblog):.0f} MB")


def main(arguments: list[str]) -> None:
    match arguments:
        case ["run", directory]:
            run(Path(directory).absolute())
        case ["plane", template]:
            plane(6202, Path(template))
        case ["plane", template, side]:
            plane(int(side), Path(template))
        case ["remake", directory]:
            remake(Path(directory).absolute())
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
