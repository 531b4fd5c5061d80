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
from vlasscube.errors import ClusterError, WorkerLostError, WorkerRefusedError
from vlasscube.workspace.files import discard

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


_ATTEMPTS = 400
"""Times that a plane is handed out to workers that refuse it."""
_PAUSE_S = 1.5
"""Seconds between them; more than between looks at a scheduler's workers."""


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
            self._hand_out(outer, ticket, pickle.dumps((fn, args, kwargs)))
        except BaseException:
            self._close(outer, ticket)
            raise
        return outer

    def use(self, inner: Executor) -> None:
        """Hand out what follows, and what workers refuse, through another executor."""
        self._inner = inner

    def _hand_out(self, outer: Future[Any], ticket: Ticket, task: bytes, attempt: int = 1) -> None:
        inner = self._inner.submit(do_task, ticket, task)
        inner.add_done_callback(lambda done: self._deliver(outer, ticket, task, attempt, done))

    def _hand_out_again(self, outer: Future[Any], ticket: Ticket, task: bytes, attempt: int) -> None:
        if outer.done():
            return
        try:
            self._hand_out(outer, ticket, task, attempt)
        except Exception as error:
            self._close(outer, ticket)
            _fail(outer, error)

    def _deliver(
        self, outer: Future[Any], ticket: Ticket, task: bytes, attempt: int, done: Future[bytes]
    ) -> None:
        is_refused = not done.cancelled() and isinstance(done.exception(), WorkerRefusedError)
        if is_refused and attempt < _ATTEMPTS and not outer.done():
            # Its ticket is still there to be taken. After a pause, in which the worker is found out.
            again = threading.Timer(_PAUSE_S, self._hand_out_again, (outer, ticket, task, attempt + 1))
            again.daemon = True
            again.start()
            return
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
