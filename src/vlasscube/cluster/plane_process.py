"""A plane on a worker of a cluster: in a process of its own, for as long as it is wanted."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from typing import IO

from vlasscube.cluster.tickets import Ticket
from vlasscube.errors import VlassCubeError, WorkerLostError, WorkerRefusedError
from vlasscube.processes.machine import usable_cores
from vlasscube.processes.parallel import start_worker

_POLL_S = 1.0
"""Seconds between looks at a plane and its ticket; less than the grace that a signal leaves a run."""
_one_at_a_time = threading.Lock()
"""Held while a plane is under way: a worker of dask with several threads is given as many."""
_FOREIGN = ("OMPI_", "PMIX_", "PMI_", "PRTE_", "MPI_", "HYDRA_", "DASK_PARENT")
"""Environment of an MPI process that the process of a plane, which is none, must not see."""


def do_task(ticket: Ticket, task: bytes) -> bytes:
    """Do a task on a worker, in a process of its own, for as long as its ticket is valid.

    Raises
    ------
    WorkerRefusedError
        If this worker has other versions, does not see the run directory, or has a plane already.
    WorkerLostError
        If the plane's process dies, or the run does not want it any more.
    """
    ticket.refuse_other_versions()
    ticket.refuse_without_directory()
    if not _one_at_a_time.acquire(blocking=False):
        raise WorkerRefusedError(f"the worker on {socket.gethostname()} has a plane already")
    try:
        return _do_task(ticket, task)
    finally:
        _one_at_a_time.release()


def _do_task(ticket: Ticket, task: bytes) -> bytes:
    ticket.take()
    given = os.environ.get("VLASSCUBE_THREADS", "")
    threads = int(given) if given.isdecimal() else ticket.threads.get(socket.gethostname(), usable_cores())
    log = ticket.directory.parent.parent / "logs" / "output.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output, tempfile.TemporaryFile() as question, tempfile.TemporaryFile() as answer:
        question.write(task)
        question.flush()
        process = _start_plane(question, answer, output, max(threads, 1))
        try:
            while process.poll() is None:
                if not ticket.is_valid():
                    raise WorkerLostError("the run no longer needs this plane")
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=_POLL_S)
        finally:
            # Whatever happens here, e.g. a signal: nobody would look after the plane any more.
            process.kill()
            process.wait()
        answer.seek(0)
        text = answer.read()
    if process.returncode != 0 or not text:
        raise WorkerLostError(_describe_end(process.returncode))
    kind, content = text[:1], text[1:]
    if kind == b"E":
        raise pickle.loads(content)
    return content


def _start_plane(
    question: IO[bytes], answer: IO[bytes], output: IO[bytes], threads: int
) -> subprocess.Popen[bytes]:
    question.seek(0)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN)}
    arguments = f"{os.getpid()}, {answer.fileno()}, {threads}"
    return subprocess.Popen(
        # -P: the current directory of a worker is no place to import from.
        [
            sys.executable,
            "-P",
            "-c",
            f"from vlasscube.cluster.plane_process import plane_process; plane_process({arguments})",
        ],
        stdin=question,
        stdout=output,
        stderr=output,
        pass_fds=(answer.fileno(),),
        env=environment,
    )


def plane_process(parent: int, answer: int, threads: int) -> None:
    """Do the task on standard input, for the worker that started this process.

    Parameters
    ----------
    parent : int
        The worker's process.
    answer : int
        File descriptor for the result.
    threads : int
        Threads that a plane may use.
    """
    start_worker(threads, parent)
    function, args, kwargs = pickle.load(sys.stdin.buffer)
    try:
        text = b"R" + pickle.dumps(function(*args, **kwargs))
    except Exception as error:
        traceback.print_exc()
        text = b"E" + _pickled_error(error)
    with os.fdopen(answer, "wb") as stream:
        stream.write(text)


def _pickled_error(error: Exception) -> bytes:
    """Pickle an error so that it can be read where its class is not known, or cannot be pickled."""
    if isinstance(error, VlassCubeError):
        with contextlib.suppress(Exception):
            return pickle.dumps(error)
    return pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))


def _describe_end(status: int) -> str:
    host = socket.gethostname()
    if status < 0:
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = f"signal {-status}"
        return f"its process on {host} was killed by {name}"
    return f"its process on {host} ended with status {status}"
