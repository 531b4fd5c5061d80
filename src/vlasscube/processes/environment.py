"""What libraries take for granted of the process they are in, and users' machines do not always give.

Without it CASA's and casacore's libraries end the process, wait for ever or misread their own tables.
"""

from __future__ import annotations

import contextlib
import ctypes
import locale
import os
import re
import resource

from vlasscube.errors import CasaUnavailableError

_MIN_OPEN_FILES = 128
"""casacore keeps up to a dozen files of each open table open."""
_WANTED_OPEN_FILES = 4096
_MIN_MEMORY_BYTES = 1_000_000_000
"""Address space of a process that has loaded CASA and done nothing yet."""
_SMALL_MEMORY_BYTES = 4 << 30
_SMALL_PROCESS_NUMBER = 1024
"""Of processes and threads that a user may have, all programs together."""
_MAX_STACK_BYTES = 64 << 20
_STACK_BYTES = 8 << 20
_ATTRIBUTES_BYTES = 256
"""Room for a ``pthread_attr_t``, which takes 56 bytes in glibc."""


def prepare_process() -> None:
    """Give the libraries what they need, before any of them is loaded; safe to call again."""
    _give_home()
    _give_plain_locale()
    _give_sane_thread_number()
    _limit_thread_stacks()
    _limit_blas_threads()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _WANTED_OPEN_FILES:
        wanted = _WANTED_OPEN_FILES if hard == resource.RLIM_INFINITY else min(_WANTED_OPEN_FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def require_limits() -> None:
    """Refuse limits of the shell (``ulimit``) under which CASA ends the process or waits for ever.

    Raises
    ------
    CasaUnavailableError
        With the limit and how to raise it.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files != resource.RLIM_INFINITY and files < _MIN_OPEN_FILES:
        raise CasaUnavailableError(
            f"no more than {files} files can be open at the same time, and CASA needs {_MIN_OPEN_FILES}.",
            hint="Raise the limit, for example with: ulimit -n 4096",
        )
    for option, number in (("-v", resource.RLIMIT_AS), ("-d", resource.RLIMIT_DATA)):
        memory, _ = resource.getrlimit(number)
        if memory != resource.RLIM_INFINITY and memory < _MIN_MEMORY_BYTES:
            raise CasaUnavailableError(
                f"a process may use no more than {memory / 1e9:.2g} GB of memory, and CASA needs "
                f"{_MIN_MEMORY_BYTES / 1e9:.2g} GB.",
                hint=f"Remove the limit with: ulimit {option} unlimited",
            )


def describe_limits() -> str:
    """Tell what limits of the shell (``ulimit``) are set, as they may be why a library cannot start."""
    parts = []
    for option, unit, number in (
        ("-v", 1024, resource.RLIMIT_AS),
        ("-d", 1024, resource.RLIMIT_DATA),
        ("-u", 1, resource.RLIMIT_NPROC),
        ("-n", 1, resource.RLIMIT_NOFILE),
        ("-s", 1024, resource.RLIMIT_STACK),
    ):
        soft, _ = resource.getrlimit(number)
        if soft != resource.RLIM_INFINITY:
            parts.append(f"ulimit {option} {soft // unit}")
    return ", ".join(parts)


def _give_home() -> None:
    """Set HOME where it is missing or empty, over which CASA ends the process; it reads nothing there."""
    if not os.environ.get("HOME"):
        import tempfile

        try:
            os.environ["HOME"] = tempfile.gettempdir()
        except OSError:
            # No temporary directory can be written to, which is told where one is needed.
            os.environ["HOME"] = "/"


def _give_plain_locale() -> None:
    """Compare names as English does: in Turkish, and kin, the capital of ``i`` is not ``I``.

    casacore looks up units, frames and keywords in capital letters by the C library's ``toupper``, and writes
    numbers with its decimal point.
    """
    c_library = ctypes.CDLL(None)
    if any(c_library.toupper(ord(small)) != ord(small.upper()) for small in "aizt") or any(
        c_library.tolower(ord(capital)) != ord(capital.lower()) for capital in "AIZT"
    ):
        _set_locale(locale.LC_CTYPE)
    if locale.localeconv()["decimal_point"] != ".":
        _set_locale(locale.LC_NUMERIC)


def _set_locale(category: int) -> None:
    for name in ("C.UTF-8", "C"):
        with contextlib.suppress(locale.Error):
            locale.setlocale(category, name)
            return


def _give_sane_thread_number() -> None:
    """OpenMP ends the process where it cannot start as many threads as the user asks for."""
    text = os.environ.get("OMP_NUM_THREADS")
    if text is None:
        return
    found = re.match(r"\s*(\d{1,9})\s*(,|$)", text)
    cores = len(os.sched_getaffinity(0))
    if found is None or int(found[1]) < 1:
        os.environ["OMP_NUM_THREADS"] = "1"
    elif int(found[1]) > cores:
        os.environ["OMP_NUM_THREADS"] = str(cores)


def _limit_thread_stacks() -> None:
    """Give new threads a stack of usual size, whatever ``ulimit -s`` says.

    The C library takes it from the limit when the process starts; under a limit of memory, threads with
    stacks of a gigabyte cannot start, and libraries wait for them.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_STACK)
    if soft == resource.RLIM_INFINITY or soft <= _MAX_STACK_BYTES:
        return
    c_library = ctypes.CDLL(None)
    if not hasattr(c_library, "pthread_setattr_default_np"):
        return
    attributes = ctypes.create_string_buffer(_ATTRIBUTES_BYTES)
    c_library.pthread_attr_init(attributes)
    c_library.pthread_attr_setstacksize(attributes, ctypes.c_size_t(_STACK_BYTES))
    c_library.pthread_setattr_default_np(attributes)
    c_library.pthread_attr_destroy(attributes)


def _limit_blas_threads() -> None:
    """Let NumPy's library keep to small limits: it reserves memory for each thread when it is loaded.

    Where a thread cannot start it interrupts the process as Ctrl-C does.
    """
    memory, _ = resource.getrlimit(resource.RLIMIT_AS)
    processes, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    if (memory != resource.RLIM_INFINITY and memory < _SMALL_MEMORY_BYTES) or (
        processes != resource.RLIM_INFINITY and processes < _SMALL_PROCESS_NUMBER
    ):
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
