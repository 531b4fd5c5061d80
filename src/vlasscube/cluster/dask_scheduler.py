"""Planes by a dask scheduler."""

from __future__ import annotations

import contextlib
import importlib
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from vlasscube.cluster.executor import TicketExecutor
from vlasscube.cluster.packages import require_package
from vlasscube.cluster.tickets import ticket_directory
from vlasscube.cluster.worker_checks import (
    inspect_worker,
    require_usable_workers,
    thread_shares,
    warn_of_unused_cores,
)
from vlasscube.errors import ClusterError

logger = logging.getLogger("vlasscube")

_CONNECT_S = 10.0
"""Seconds within which a scheduler must answer."""
_ANSWER_S = 60.0
"""Seconds within which all workers must answer what they see."""
PATIENCE_S = 600.0
"""Seconds without any worker, at the beginning or later, after which a run gives up."""
_POLL_S = 1.0
_START = "dask worker --nthreads 1 --nworkers PLANES_PER_MACHINE"


@contextlib.contextmanager
def dask_executor(directory: Path, address: str) -> Iterator[Executor]:
    """Yield an executor for the workers of a dask scheduler; see `vlasscube.cluster.cluster_executor`."""
    require_package("distributed", "dask.distributed")
    with contextlib.ExitStack() as stack:
        client = _connect(address)
        stack.callback(client.close)
        tickets, token = stack.enter_context(ticket_directory(directory))
        early = _require_workers(client, address)
        try:
            views = client.run(
                inspect_worker, str(tickets), token, on_error="return", callback_timeout=_ANSWER_S
            )
        except TimeoutError as error:
            raise ClusterError(f"not all workers of {address} answered within {_ANSWER_S:.0f} s") from error
        require_usable_workers(directory, views)
        warn_of_unused_cores(views)
        # Retries would be dask's own; ours know what a plane is.
        inner = client.get_executor(pure=False, retries=0)
        executor = TicketExecutor(inner, tickets, token, thread_shares(views))
        ended = threading.Event()
        late = _LateWorkers(client, executor, directory, (str(tickets), token), early)
        watch = threading.Thread(
            target=_watch_workers, args=(client, executor, address, ended, late), daemon=True
        )
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


def _require_workers(client: Any, address: str) -> set[str]:
    """Wait for a scheduler's first worker, and return those that are there.

    Raises
    ------
    ClusterError
        If there are none, or if one would do several planes at once.
    """
    try:
        client.wait_for_workers(1, timeout=min(_CONNECT_S, PATIENCE_S))
    except TimeoutError:
        # A queue may give the first machine minutes after the scheduler.
        logger.warning(
            "the dask scheduler at %s has no workers yet: waiting up to %.0f min for one",
            address,
            PATIENCE_S / 60,
        )
        try:
            client.wait_for_workers(1, timeout=PATIENCE_S)
        except TimeoutError as error:
            raise ClusterError(
                f"the dask scheduler at {address} has no workers",
                hint=f"Start some with:  {_START} {address}",
            ) from error
    nthreads: dict[str, int] = client.nthreads()
    for worker, count in nthreads.items():
        _require_one_thread(worker, count, address)
    return set(nthreads)


def _require_one_thread(worker: str, count: int, address: str) -> None:
    if count != 1:
        raise ClusterError(
            f"the dask worker {worker} would image {count} planes at once",
            hint="A worker images one plane per thread, and a plane needs much memory ('vlasscube plan' "
            "shows how much). Set the number of planes per machine:  "
            f"{_START} {address}",
        )


class _LateWorkers:
    """Workers that join after a run has begun, checked like those before, and given no planes if need be."""

    def __init__(
        self,
        client: Any,
        executor: TicketExecutor,
        directory: Path,
        question: tuple[str, str],
        early: set[str],
    ) -> None:
        self._client = client
        self._executor = executor
        self._directory = directory
        self._question = question
        self._is_usable = dict.fromkeys(early, True)

    def usable_among(self, present: Mapping[str, int], address: str) -> list[str]:
        """Workers that planes may go to, of those that are there with so many threads each."""
        new = [worker for worker in present if worker not in self._is_usable]
        for worker in new:
            try:
                _require_one_thread(worker, present[worker], address)
                views = self._client.run(
                    inspect_worker,
                    *self._question,
                    workers=[worker],
                    on_error="return",
                    callback_timeout=_ANSWER_S,
                )
                require_usable_workers(self._directory, views)
                warn_of_unused_cores(views)
            except ClusterError as error:
                logger.warning("a worker that came later is not used: %s. %s", error.message, error.hint)
                self._is_usable[worker] = False
            except TimeoutError:
                logger.warning("a worker that came later is not used: %s does not answer", worker)
                self._is_usable[worker] = False
            else:
                self._is_usable[worker] = True
        usable = [worker for worker in present if self._is_usable[worker]]
        if new and usable and not all(self._is_usable[worker] for worker in present):
            self._executor.use(self._client.get_executor(pure=False, retries=0, workers=usable))
        return usable


def _watch_workers(
    client: Any, executor: TicketExecutor, address: str, ended: threading.Event, late: _LateWorkers
) -> None:
    """Tell when nobody is left to do the work, and give up in the end: dask itself would wait forever."""
    missing_s: float | None = None
    while not ended.wait(_POLL_S):
        if client.status == "closed":
            executor.give_up(_lost_scheduler(address))
            return
        try:
            present = client.nthreads() if client.status == "running" else {}
            count = len(late.usable_among(present, address))
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
        f"the dask scheduler at {address} or all of its workers are gone",
        hint="Start them again, then run the same command again to resume.",
    )
