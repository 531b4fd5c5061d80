"""Search for inputs that break a parser's promise: ``python -m tests.fuzzing.fuzz TARGET|all --seconds N``.

Guided by coverage, with atheris (``pip install atheris``), which nothing else needs. What reaches new code is
kept in ``tests/fuzzing/corpus/TARGET``, what breaks a promise in ``tests/fuzzing/found/TARGET``.
``--minimise`` only thins the corpus out.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import logging
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType, FunctionType
from typing import Any

HERE = Path(__file__).parent
CORPUS, FOUND = HERE / "corpus", HERE / "found"
MAX_BYTES = {"archive_tar": 8192, "archive_gzip": 4096, "fits_files": 12_000, "fits_headers": 4000}
DEFAULT_MAX_BYTES = 2000
KEPT_BYTES = 12_000
"""Larger inputs are not kept."""
FOLLOWED = ("vlasscube.", "tarfile", "astropy.io.fits.card", "astropy.io.fits.header")
FOLLOWED += (f"{__package__}.text_targets", f"{__package__}.file_targets")
"""Modules whose coverage guides the search."""


def fuzz(name: str, seconds: int) -> None:
    """Search in this process, which ends with it."""
    try:
        import atheris
    except ImportError:
        sys.exit("atheris is missing: pip install atheris")
    from . import mutators, seeds, targets

    # Not at their import: how a package is installed for development hides that from atheris.
    for function in [found for found in gc.get_objects() if isinstance(found, FunctionType)]:
        if str(function.__module__).startswith(FOLLOWED):
            atheris.instrument_func(function)
    logging.disable(logging.CRITICAL)
    options: dict[str, Any] = {}
    if name in mutators.MUTATORS:
        change = mutators.MUTATORS[name]

        def mutate(data: bytes, max_size: int, seed: int) -> bytes:
            if seed % 10 == 0:
                return atheris.Mutate(data, max_size)
            return change(data, max_size, seed, lambda part, size: atheris.Mutate(part, max(size, 1)))

        options["custom_mutator"] = mutate
    with tempfile.TemporaryDirectory() as scratch:
        work, start, words = Path(scratch) / "work", Path(scratch) / "start", Path(scratch) / "words"
        work.mkdir()
        start.mkdir()
        for number, seed in enumerate(seeds.seeds(name)):
            (start / str(number)).write_bytes(seed)
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in seeds.WORDS.get(name, ("\\x00",))))
        kept, found = CORPUS / name, FOUND / name
        kept.mkdir(parents=True, exist_ok=True)
        found.mkdir(parents=True, exist_ok=True)
        arguments = [
            sys.argv[0],
            f"-max_total_time={seconds}",
            f"-max_len={MAX_BYTES.get(name, DEFAULT_MAX_BYTES)}",
            f"-dict={words}",
            f"-artifact_prefix={found}/",
            "-timeout=10",
            "-keep_seed=1",
            "-rss_limit_mb=2500",
            "-print_final_stats=1",
            "-verbosity=1",
            *map(str, (kept, start)),
        ]
        atheris.Setup(arguments, targets.TARGETS[name], **options)
        atheris.Fuzz()


def _escaped(word: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word.encode())


# --------------------------------------------------------------------------------------------- the corpus


def covered(function: Callable[[bytes], object], data: bytes) -> set[object]:
    """Steps from line to line that a target takes in the parsers on an input, and what it tells of it."""
    steps: set[object] = set()

    def follow(frame: FrameType, event: str, argument: Any) -> Any:
        file = frame.f_code.co_filename
        if "/vlasscube/" not in file and not file.endswith(("/tarfile.py", "/fits/card.py")):
            return None
        previous = frame.f_code.co_firstlineno

        def line(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal previous
            steps.add((file, previous, frame.f_lineno))
            previous = frame.f_lineno
            return line

        return line

    sys.settrace(follow)
    try:
        told = function(data)
    except Exception as error:
        # A broken promise is for the tests to tell.
        told = type(error).__name__
    finally:
        sys.settrace(None)
    return steps if told is None else steps | {told}


def minimise(name: str) -> tuple[int, int]:
    """Keep the inputs of a corpus that add coverage, the smallest first; return how many of how many."""
    from . import seeds, targets

    folder = CORPUS / name
    folder.mkdir(parents=True, exist_ok=True)
    files = [path for path in folder.iterdir() if not path.name.startswith("find-")]
    inputs = {path.read_bytes() for path in files} | set(seeds.seeds(name))
    finds = [path.read_bytes() for path in folder.glob("find-*")]
    seen: set[object] = set()
    kept: list[bytes] = []
    # Finds stay in any case; imports must not count.
    for data in [*finds[:1], *finds, *sorted(inputs, key=lambda data: (len(data), data))]:
        if len(data) > KEPT_BYTES:
            continue
        steps = covered(targets.TARGETS[name], data)
        if not steps <= seen and data not in finds:
            kept.append(data)
        seen |= steps
    for path in files:
        path.unlink()
    for data in kept:
        (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    return len(kept), len(inputs)


def main() -> None:
    """Run one search after the other, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--minimise", action="store_true", help="only thin the corpus out")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        fuzz(options.target, options.seconds)
        return
    from . import targets

    names = list(targets.TARGETS) if options.target == "all" else [options.target]
    if not set(names) <= targets.TARGETS.keys():
        parser.error(f"no target {options.target}; there are: all {' '.join(targets.TARGETS)}")
    broken = []
    for name in names:
        if not options.minimise:
            command = [
                sys.executable,
                "-m",
                "tests.fuzzing.fuzz",
                name,
                "--here",
                "--seconds",
                str(options.seconds),
            ]
            print(f"==== {name}", flush=True)
            if subprocess.run(command, cwd=HERE.parents[1]).returncode:
                broken.append(name)
        kept, tried = minimise(name)
        print(f"==== {name}: {kept} of {tried} inputs kept", flush=True)
        if not any((FOUND / name).glob("*")):
            shutil.rmtree(FOUND / name, ignore_errors=True)
    if broken:
        sys.exit(f"broken promises: {', '.join(broken)}; see {FOUND}")


if __name__ == "__main__":
    main()
