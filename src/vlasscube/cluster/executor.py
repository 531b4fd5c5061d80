"""An executor that hands out each call with a ticket, through that of dask or MPI."""

from __future__ import annotations

import contextlib
import pickle
import threading
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Executor, Future, InvalidStateError
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from vlasscube.cluster.plane_process import do_task
from vlasscube.cluster.tickets import Ticket, versions
from vlasscube.errors import ClusterError, WorkerLostError
from vlasscube.workspace.files import discard

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class TicketExecutor(Executor):
    """Hands out each call with a ticket, through another executor.

    Parameters
    ----------
    inner : Executor
        Takes `vlasscube.cluster.plane_process.do_task` to the workers.
    tickets : Path
        Directory of the tickets.
    token : str
        Names this run.
    threads : mapping
        Threads for a plane, by host.
    """

    def __init__(self, inner: Executor, tickets: Path, token: str, threads: Mapping[str, int]) -> None:
        self._inner = inner
        self._directory = tickets
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
            directory=self._directory,
            name=uuid.uuid4().hex,
            token=self._token,
            versions=versions(),
            threads=self._threads,
        )
        ticket.issue()
        outer: Future[Result] = Future()
        # So that it cannot be cancelled behind our back: the ticket decides.
        outer.set_running_or_notify_cancel()
        with self._guard:
            self._open[outer] = ticket.taken
        try:
            inner = self._inner.submit(do_task, ticket, pickle.dumps((fn, args, kwargs)))
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
            _fail(outer, WorkerLostError("the cluster gave up the plane"))
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
            discard(taken.with_suffix(".issued"))
            discard(taken)
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
