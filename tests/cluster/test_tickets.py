"""Tickets: taken once, and good for as long as their run lives."""

import os

import pytest

from vlasscube.cluster import tickets
from vlasscube.cluster.tickets import Ticket, ticket_directory, versions
from vlasscube.errors import ClusterError, WorkerLostError, WorkspaceLockedError


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
