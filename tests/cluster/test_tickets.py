"""Tickets: taken once, and good for as long as their run lives."""

import os
import pickle
import threading
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor

import pytest

from vlasscube.cluster import executor, plane_process, tickets
from vlasscube.cluster.tickets import Ticket, ticket_directory, versions
from vlasscube.errors import ClusterError, WorkerLostError, WorkerRefusedError, WorkspaceLockedError


@pytest.fixture
def issued_at(tmp_path):
    with ticket_directory(tmp_path) as (place, token):
        yield place, token


def make_ticket(issued_at, **changes):
    place, token = issued_at
    return Ticket(
        **{"directory": place, "name": "a", "token": token, "versions": {}, "threads": {}} | changes
    )


def test_a_ticket_is_taken_once_and_ends_when_revoked(issued_at):
    ticket = make_ticket(issued_at)
    ticket.issue()
    ticket.take()
    assert ticket.is_valid()
    with pytest.raises(WorkerLostError):
        ticket.take()
    ticket.revoke()
    assert not ticket.is_valid()


def test_a_ticket_ends_with_its_run(tmp_path):
    with ticket_directory(tmp_path) as issued_at:
        ticket = make_ticket(issued_at)
        ticket.issue()
        ticket.take()
        refused = pytest.raises(WorkspaceLockedError, match=f"process {os.getpid()}")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tickets, "LOCK_PATIENCE_S", 0.1)
            with refused, ticket_directory(tmp_path):
                pass
        assert ticket.is_valid()
    assert not ticket.is_valid()
    with ticket_directory(tmp_path) as (place, _):
        assert not ticket.is_valid()
        assert [path.name for path in place.iterdir()] == ["lock"]


def test_a_file_system_that_does_not_answer_ends_nothing(issued_at, monkeypatch):
    ticket = make_ticket(issued_at)
    ticket.issue()
    ticket.take()

    def unreachable(*args):
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr(tickets, "run_is_alive", unreachable)
    assert ticket.is_valid()


def test_a_late_worker_of_another_version_refuses(issued_at):
    with pytest.raises(ClusterError, match=r"has vlasscube .* instead of 99"):
        make_ticket(issued_at, versions={**versions(), "vlasscube": "99"}).refuse_other_versions()
    make_ticket(issued_at, versions=versions()).refuse_other_versions()


# ------------------------------------------------------------------------------------ refused by a worker


class Workers(Executor):
    """Takes what is submitted and answers with a list of errors or results."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.tickets = []

    def submit(self, function, ticket, task):
        self.tickets.append(ticket)
        future, answer = Future(), self.answers.pop(0)
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            assert ticket.issued.exists()
            future.set_result(pickle.dumps(answer))
        return future


@pytest.fixture
def pause(monkeypatch):
    monkeypatch.setattr(executor, "_PAUSE_S", 0.01)


@pytest.mark.usefixtures("pause")
def test_what_a_worker_refuses_goes_to_others(issued_at):
    refusal = WorkerRefusedError("has a plane already")
    first, others = Workers(refusal, refusal), Workers("done")
    handing_out = executor.TicketExecutor(first, *issued_at, {})
    future = handing_out.submit(len, "x")
    while first.answers:
        time.sleep(0.001)
    handing_out.use(others)
    assert future.result(timeout=5) == "done"
    assert len({ticket.name for ticket in first.tickets + others.tickets}) == 1
    assert handing_out.is_idle
    assert list(issued_at[0].glob("*.issued")) == []


@pytest.mark.usefixtures("pause")
def test_what_all_workers_refuse_comes_back(issued_at, monkeypatch):
    monkeypatch.setattr(executor, "_ATTEMPTS", 3)
    workers = Workers(*[WorkerRefusedError("has a plane already")] * 3)
    handing_out = executor.TicketExecutor(workers, *issued_at, {})
    with pytest.raises(WorkerRefusedError, match="already"):
        handing_out.submit(len, "x").result(timeout=5)
    assert workers.answers == []
    assert list(issued_at[0].glob("*.issued")) == []


def test_a_worker_has_one_plane_at_a_time(issued_at, monkeypatch):
    started, end = threading.Event(), threading.Event()
    monkeypatch.setattr(
        plane_process, "_do_task", lambda ticket, task: started.set() or (end.wait(5) and b"x")
    )
    ticket = make_ticket(issued_at, versions=versions())
    with ThreadPoolExecutor() as pool:
        first = pool.submit(plane_process.do_task, ticket, b"")
        started.wait(5)
        with pytest.raises(WorkerRefusedError, match="has a plane already"):
            plane_process.do_task(ticket, b"")
        end.set()
        assert first.result() == b"x"
    assert plane_process.do_task(ticket, b"") == b"x"


def test_a_worker_that_does_not_see_the_directory_refuses(tmp_path):
    ticket = make_ticket((tmp_path / "run" / "records" / "cluster", "token"), versions=versions())
    with pytest.raises(WorkerRefusedError, match=f"does not see {tmp_path / 'run'}"):
        plane_process.do_task(ticket, b"")
