"""Planes onto the machines of a cluster, by dask or MPI, through the executor that local processes use too.

A worker of a cluster is a place, not the process that images: each plane is given a process of its own
there, as on one machine. So a plane has CASA for itself, its output goes to the log of the run, its death is
not that of the worker, and a worker can talk to its scheduler while CASA holds the interpreter's lock.

What dask or MPI believe about their workers is not relied upon. Each plane that is handed out has a ticket, a
file in ``records/cluster/``: a worker takes it by renaming it, which only one can do, and ends the plane as
soon as the ticket is gone or the run that wrote it no longer holds its lock. A ticket is never taken twice,
so a plane that dask would do again by itself comes back instead, and `vlasscube.workflow` decides.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import importlib.util
import json
import logging
import os
import pickle
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Executor, Future, InvalidStateError
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ParamSpec, TypeVar

from vlasscube import __version__
from vlasscube.casa import version as casa_version
from vlasscube.errors import VlassCubeError, WorkspaceError
from vlasscube.parallel import exclusive, start_worker, usable_cores

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

logger = logging.getLogger("vlasscube")

_INSTALL_HINT = "Install it on all machines with:  pip install 'vlasscube[cluster]'"
_CONNECT_S = 10.0
"""Seconds within which a scheduler and a first worker must answer."""
_ANSWER_S = 60.0
"""Seconds within which all workers must answer what they see."""
_LOCK_S = 5.0
"""Seconds to wait for the lock of a run: its workers look at it, each for a moment."""
PATIENCE_S = 600.0
"""Seconds without any worker after which a run gives up."""
_POLL_S = 1.0
"""Seconds between looks at a plane and its ticket; less than the grace that a signal leaves a run."""
_FOREIGN = ("OMPI_", "PMIX_", "PMI_", "PRTE_", "MPI_", "HYDRA_", "DASK_PARENT")
"""Environment of an MPI process that the process of a plane, which is none, must not see."""


class ClusterError(VlassCubeError):
    """The cluster cannot be used as asked."""


class WorkerLostError(ClusterError):
    """A worker, or the process of a plane on it, ended before the plane was finished."""


# ------------------------------------------------------------------------------------------------ executor


@contextlib.contextmanager
def cluster_executor(
    directory: str | os.PathLike[str], *, scheduler: str | None = None, mpi: bool = False
) -> Iterator[Executor | None]:
    """Yield an executor for the planes of a run directory.

    Before anything is handed out, every worker is asked what it sees.

    Parameters
    ----------
    directory : path-like
        Run directory, seen under the same path by all workers.
    scheduler : str, optional
        Address of a dask scheduler, e.g. ``tcp://host:8786``.
    mpi : bool
        Use the other processes that mpirun has started; they must be in `serve_mpi`.

    Yields
    ------
    concurrent.futures.Executor or None
        None if neither is asked for.

    Raises
    ------
    ClusterError
        If the package is not installed, the scheduler not reached, there are no workers, or one of them does
        not see the run directory or has other versions.
    WorkspaceError
        If the run directory is not usable.
    """
    place = Path(directory).expanduser().absolute()
    if scheduler is not None and mpi:
        raise ClusterError("dask and MPI are asked for at once", hint="Give --scheduler or --mpi, not both.")
    if scheduler is not None:
        with _dask_executor(place, scheduler) as executor:
            yield executor
    elif mpi:
        with _mpi_executor(place) as executor:
            yield executor
    else:
        yield None


class TicketExecutor(Executor):
    """Hands out each call with a ticket, through another executor.

    Parameters
    ----------
    inner : Executor
        Takes `_do_task` to the workers.
    office : Path
        Directory of the tickets.
    token : str
        Names this run.
    threads : mapping
        Threads for a plane, by host.
    """

    def __init__(self, inner: Executor, office: Path, token: str, threads: Mapping[str, int]) -> None:
        self._inner = inner
        self._office = office
        self._token = token
        self._threads = dict(threads)
        self._open: dict[Future[Any], Path] = {}
        self._guard = threading.Lock()
        self.broken: ClusterError | None = None
        """Why nothing more can be handed out."""

    def submit(
        self, fn: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Result]:
        """Hand out a call; it and its result are pickled, and run in a process of their own.

        Raises
        ------
        ClusterError
            If the cluster is gone.
        """
        if self.broken is not None:
            raise self.broken
        ticket = Ticket(
            office=self._office,
            name=uuid.uuid4().hex,
            token=self._token,
            versions=_versions(),
            threads=self._threads,
        )
        ticket.issue()
        outer: Future[Result] = Future()
        # So that it cannot be cancelled behind our back: the ticket decides.
        outer.set_running_or_notify_cancel()
        with self._guard:
            self._open[outer] = ticket.taken
        try:
            inner = self._inner.submit(_do_task, ticket, pickle.dumps((fn, args, kwargs)))
        except BaseException:
            self._close(outer, ticket)
            raise
        inner.add_done_callback(lambda done: self._deliver(outer, ticket, done))
        return outer

    def _deliver(self, outer: Future[Any], ticket: Ticket, done: Future[bytes]) -> None:
        self._close(outer, ticket)
        try:
            result = pickle.loads(done.result())
        except CancelledError:
            # So dask says that the scheduler is gone.
            _fail(outer, WorkerLostError("the cluster gave the plane up"))
        except Exception as error:
            _fail(outer, error)
        else:
            with contextlib.suppress(InvalidStateError):
                outer.set_result(result)

    def _close(self, outer: Future[Any], ticket: Ticket) -> None:
        with self._guard:
            self._open.pop(outer, None)
        ticket.revoke()

    def give_up(self, error: ClusterError) -> None:
        """Fail all that is under way, and all that will be submitted, ending the planes at work."""
        self.broken = error
        with self._guard:
            under_way = list(self._open.items())
            self._open.clear()
        for outer, taken in under_way:
            _remove(taken.with_suffix(".issued"))
            _remove(taken)
            _fail(outer, error)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is handed out."""
        return not self._open

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End; with ``cancel_futures`` planes at work are ended too, and not only those that wait."""
        if cancel_futures:
            self.give_up(ClusterError("the run has ended"))


def _fail(future: Future[Any], error: Exception) -> None:
    with contextlib.suppress(InvalidStateError):
        future.set_exception(error)


# ------------------------------------------------------------------------------------------------- tickets


@dataclass(frozen=True)
class Ticket:
    """The right to work on one plane once, for one run."""

    office: Path
    name: str
    token: str
    versions: dict[str, str]
    threads: dict[str, int]

    @property
    def issued(self) -> Path:
        """The file until a worker takes it."""
        return self.office / f"{self.name}.issued"

    @property
    def taken(self) -> Path:
        """The file after that."""
        return self.office / f"{self.name}.taken"

    def issue(self) -> None:
        """Make it valid."""
        self.issued.write_text(self.token, encoding="ascii")

    def revoke(self) -> None:
        """Make it invalid: whoever works on it ends."""
        _remove(self.issued)
        _remove(self.taken)

    def take(self) -> None:
        """Take it.

        Raises
        ------
        WorkerLostError
            If another worker has, which then has not come back with a result.
        """
        try:
            self.issued.rename(self.taken)
        except FileNotFoundError:
            raise WorkerLostError("the worker that had the plane is lost") from None

    def is_valid(self) -> bool:
        """Whether the result is still wanted: the ticket is there, and its run alive."""
        try:
            # Opened rather than looked for: network file systems ask the server only then.
            if self.taken.read_text(encoding="ascii") != self.token:
                return False
            return _run_is_alive(self.office, self.token)
        except FileNotFoundError:
            return False
        except OSError:
            # A file system that does not answer says nothing about the run.
            return True

    def refuse_other_versions(self) -> None:
        """Refuse to work with other versions than the run's: a worker may have come after the others.

        Raises
        ------
        ClusterError
            Naming host and versions.
        """
        if (ours := _versions()) != self.versions:
            raise ClusterError(_other_versions(socket.gethostname(), ours, self.versions))


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


@contextlib.contextmanager
def _ticket_office(directory: Path) -> Iterator[tuple[Path, str]]:
    """Open the directory of tickets for one run; its lock says that the run is alive.

    Raises
    ------
    WorkspaceError
        If the run directory is not there, not writable, or used by another run.
    """
    if not directory.is_dir():
        raise WorkspaceError(f"no such directory: {directory}", hint="Give the run directory.")
    office, token = directory / "records" / "cluster", uuid.uuid4().hex
    try:
        office.mkdir(parents=True, exist_ok=True)
        holding = exclusive(office / "lock", f"{directory} (its cluster)", _LOCK_S)
        with holding as lock:
            for leftover in (*office.glob("*.issued"), *office.glob("*.taken")):
                _remove(leftover)
            lock.truncate(0)
            lock.write(json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "token": token}))
            lock.flush()
            os.fsync(lock.fileno())
            yield office, token
    except PermissionError as error:
        raise WorkspaceError(
            f"cannot write in {directory}: {error.strerror}", hint="Make the directory writable."
        ) from error


def _run_is_alive(office: Path, token: str) -> bool:
    """Whether the run of this token holds its lock; OSError if that cannot be told."""
    with (office / "lock").open(encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return token in stream.read()
    return False


# ----------------------------------------------------------------------------------------- on the machines


def _versions() -> dict[str, str]:
    return {"vlasscube": __version__, "Python": platform.python_version(), "casatasks": casa_version()}


def _other_versions(host: str, theirs: Mapping[str, str], ours: Mapping[str, str]) -> str:
    differing = [
        f"{name} {theirs.get(name)} instead of {ours[name]}"
        for name in ours
        if theirs.get(name) != ours[name]
    ]
    return f"the worker on {host} has {', '.join(differing)}"


@dataclass(frozen=True)
class _Sight:
    """What a worker sees of the run."""

    host: str
    versions: dict[str, str]
    cores: frozenset[int]
    directory: bool
    alive: bool
    trouble: str = ""


def _look(office: str, token: str) -> _Sight:
    """Tell what this process sees of a run."""
    place, trouble = Path(office), ""
    directory = alive = False
    try:
        directory = token in (place / "lock").read_text(encoding="utf-8")
        alive = directory and _run_is_alive(place, token)
        # A directory that can be read need not be writable.
        if directory:
            with tempfile.NamedTemporaryFile(dir=place, prefix=".look.", suffix=".partial"):
                pass
    except OSError as error:
        trouble = f"{error.strerror or error}: {error.filename or place}"
    cores = frozenset(os.sched_getaffinity(0))
    return _Sight(socket.gethostname(), _versions(), cores, directory, alive, trouble)


def _require_same_sight(directory: Path, sights: Mapping[str, _Sight | BaseException]) -> None:
    """Complain about the first worker with which the run cannot go well.

    Raises
    ------
    ClusterError
        Naming the worker's host and what is wrong.
    """
    same = "Start the workers in the same environment (virtual environment, container) as this command."
    for name, sight in sights.items():
        if isinstance(sight, BaseException):
            if isinstance(sight, ImportError | AttributeError):
                raise ClusterError(f"vlasscube cannot be used on the worker {name}: {sight}", hint=same)
            raise ClusterError(f"the worker {name} does not answer: {sight or type(sight).__name__}")
        if sight.versions != _versions():
            raise ClusterError(_other_versions(sight.host, sight.versions, _versions()), hint=same)
        if not sight.directory:
            reason = f" ({sight.trouble})" if sight.trouble else ""
            raise ClusterError(
                f"the worker on {sight.host} does not see the run directory {directory}{reason}",
                hint="Put it on a file system that all machines share, under the same path.",
            )
        if not sight.alive and not sight.trouble:
            raise ClusterError(
                f"the worker on {sight.host} does not see that {directory} is locked by this run",
                hint="The file system must share locks between machines: mount Lustre with -o flock, NFS "
                "without nolock and local_lock.",
            )
        if sight.trouble:
            raise ClusterError(f"the worker on {sight.host}: {sight.trouble}")


def _shares(sights: Mapping[str, _Sight | BaseException]) -> dict[str, int]:
    """Threads for a plane by host: the worker's cores, divided among the workers that have the same ones."""
    found = [sight for sight in sights.values() if isinstance(sight, _Sight)]
    shares: dict[str, int] = {}
    for sight in found:
        beside = sum(1 for other in found if other.host == sight.host and other.cores & sight.cores)
        threads = max(len(sight.cores) // max(beside, 1), 1)
        shares[sight.host] = min(threads, shares.get(sight.host, threads))
    return shares


def _do_task(ticket: Ticket, task: bytes) -> bytes:
    """Do a task on a worker, in a process of its own, for as long as its ticket is valid."""
    ticket.refuse_other_versions()
    ticket.take()
    given = os.environ.get("VLASSCUBE_THREADS", "")
    threads = int(given) if given.isdecimal() else ticket.threads.get(socket.gethostname(), usable_cores())
    log = ticket.office.parent.parent / "logs" / "output.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output, tempfile.TemporaryFile() as question, tempfile.TemporaryFile() as answer:
        question.write(task)
        question.flush()
        process = _start_plane(question, answer, output, max(threads, 1))
        try:
            while process.poll() is None:
                if not ticket.is_valid():
                    raise WorkerLostError("the run no longer wants this plane")
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
            f"from vlasscube.cluster import plane_process; plane_process({arguments})",
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
    start_worker(threads)
    if os.getppid() != parent:
        # It ended before we could ask to be told.
        os._exit(1)
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
        return f"its process on {host} was ended by {name}"
    return f"its process on {host} ended with status {status}"


# ---------------------------------------------------------------------------------------------------- dask


@contextlib.contextmanager
def _dask_executor(directory: Path, address: str) -> Iterator[Executor]:
    if importlib.util.find_spec("distributed") is None:
        raise ClusterError("dask.distributed is not installed", hint=_INSTALL_HINT)
    with contextlib.ExitStack() as stack:
        client = _connect(address)
        stack.callback(client.close)
        office, token = stack.enter_context(_ticket_office(directory))
        _require_workers(client, address)
        try:
            sights = client.run(_look, str(office), token, on_error="return", callback_timeout=_ANSWER_S)
        except TimeoutError as error:
            raise ClusterError(f"not all workers of {address} answer within {_ANSWER_S:.0f} s") from error
        _require_same_sight(directory, sights)
        # Retries would be dask's own; ours know what a plane is.
        inner = client.get_executor(pure=False, retries=0)
        executor = TicketExecutor(inner, office, token, _shares(sights))
        ended = threading.Event()
        watch = threading.Thread(target=_watch_workers, args=(client, executor, address, ended), daemon=True)
        watch.start()
        try:
            yield executor
        except BaseException:
            executor.shutdown(cancel_futures=True)
            inner.shutdown(wait=False)
            raise
        finally:
            ended.set()
            watch.join(timeout=_POLL_S)
        inner.shutdown()


def _connect(address: str) -> Any:
    distributed = importlib.import_module("distributed")
    try:
        return distributed.Client(address, timeout=_CONNECT_S, set_as_default=False, name="vlasscube")
    except (OSError, ValueError, TypeError) as error:
        raise ClusterError(
            f"no dask scheduler answers at {address}: {error}",
            hint="Start one with 'dask scheduler'; it prints its address, e.g. tcp://host:8786.",
        ) from error


def _require_workers(client: Any, address: str) -> None:
    """Complain if a scheduler's workers are not what planes need.

    Raises
    ------
    ClusterError
        If there are none, or if one would do several planes at once.
    """
    start = "dask worker --nthreads 1 --nworkers PLANES_PER_MACHINE"
    try:
        client.wait_for_workers(1, timeout=_CONNECT_S)
    except TimeoutError as error:
        raise ClusterError(
            f"the dask scheduler at {address} has no workers", hint=f"Start some with:  {start} {address}"
        ) from error
    nthreads: dict[str, int] = client.nthreads()
    for worker, count in nthreads.items():
        if count != 1:
            raise ClusterError(
                f"the dask worker {worker} would image {count} planes at once",
                hint="A worker takes a plane for each of its threads, and a plane needs much memory "
                "('vlasscube plan' tells how much). Say how many planes a machine shall have:  "
                f"{start} {address}",
            )


def _watch_workers(client: Any, executor: TicketExecutor, address: str, ended: threading.Event) -> None:
    """Tell when nobody is left to do the work, and give up in the end: dask itself would wait for ever."""
    missing_s: float | None = None
    while not ended.wait(_POLL_S):
        if client.status == "closed":
            executor.give_up(_lost_scheduler(address))
            return
        try:
            count = len(client.nthreads()) if client.status == "running" else 0
        except Exception:
            count = 0
        if count or executor.is_idle:
            missing_s = None
        elif missing_s is None:
            missing_s = time.monotonic()
            logger.warning("no dask worker is left at %s: waiting for new ones", address)
        elif time.monotonic() - missing_s > PATIENCE_S:
            executor.give_up(_lost_scheduler(address))
            return


def _lost_scheduler(address: str) -> ClusterError:
    return ClusterError(
        f"the dask scheduler at {address}, or all its workers, are gone",
        hint="Start them anew and run the same command again; it goes on where it was.",
    )


# ----------------------------------------------------------------------------------------------------- MPI


def _import_mpi() -> tuple[Any, Any]:
    if importlib.util.find_spec("mpi4py") is None:
        raise ClusterError("mpi4py is not installed", hint=_INSTALL_HINT)
    try:
        return importlib.import_module("mpi4py.MPI"), importlib.import_module("mpi4py.futures")
    except (ImportError, RuntimeError) as error:
        raise ClusterError(
            f"MPI does not start: {error}", hint="mpi4py needs an MPI library (Debian: openmpi-bin)."
        ) from error


def serve_mpi() -> bool:
    """Do what the first process of mpirun hands out, if this is one of the others.

    Returns
    -------
    bool
        Whether it is: there is nothing left to do then. Otherwise `cluster_executor` must follow at once, as
        the others wait for it.

    Raises
    ------
    ClusterError
        If MPI cannot be used.
    """
    mpi, futures = _import_mpi()
    world = mpi.COMM_WORLD
    if world.Get_rank() == 0:
        return False
    if threading.current_thread() is threading.main_thread():
        # An interrupted task would be a result like others. The first process ends what is to be ended; when
        # mpirun or the queue does, its signal is final.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    question: tuple[str, str] | None = world.bcast(None, root=0)
    if question is None:
        return True
    world.gather(_try_to_look(*question), root=0)
    if world.bcast(None, root=0):
        with futures.MPICommExecutor(world, root=0):
            pass
    return True


def _try_to_look(office: str, token: str) -> _Sight | Exception:
    try:
        return _look(office, token)
    except Exception as error:
        return RuntimeError(f"{type(error).__name__}: {error}")


@contextlib.contextmanager
def _mpi_executor(directory: Path) -> Iterator[Executor]:
    mpi, futures = _import_mpi()
    world = mpi.COMM_WORLD
    if world.Get_size() < 2:
        raise ClusterError(
            "MPI has one process only",
            hint="Start it with, e.g.:  mpirun -n 5 vlasscube run DIR --mpi  (one leads, four image).",
        )
    with contextlib.ExitStack() as stack:
        try:
            office, token = stack.enter_context(_ticket_office(directory))
        except BaseException:
            world.bcast(None, root=0)
            raise
        world.bcast((str(office), token), root=0)
        _, *found = world.gather(None, root=0)
        sights: dict[str, _Sight | BaseException] = {
            f"{rank} of MPI": sight for rank, sight in enumerate(found, start=1)
        }
        try:
            _require_same_sight(directory, sights)
        except BaseException:
            world.bcast(False, root=0)
            raise
        world.bcast(True, root=0)
        # main=False: the workers are in a command of their own already and import no main module.
        pool = stack.enter_context(futures.MPICommExecutor(world, root=0, main=False))
        executor = TicketExecutor(pool, office, token, _shares(sights))
        try:
            yield executor
        except BaseException:
            # The tickets go, so the workers end their planes and the pool can be left.
            executor.shutdown(cancel_futures=True)
            pool.shutdown(wait=False, cancel_futures=True)
            raise


__all__ = ["ClusterError", "TicketExecutor", "WorkerLostError", "cluster_executor", "serve_mpi"]
