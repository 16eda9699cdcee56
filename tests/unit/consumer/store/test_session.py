"""Another thread may cut a session at any moment: it breaks that session's connection, and nothing else."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from jobstatus_consumer.errors import BadRowError, DatabaseAwayError
from jobstatus_consumer.store import Limits
from jobstatus_consumer.store.session import Session


class Rows:
    """The answer to a statement."""

    def fetchall(self) -> list[tuple[int]]:
        return [(1,)]


class Wire:
    """A connection with a real socket; `drop` closes it as libpq does inside a statement, without telling anybody."""

    def __init__(self) -> None:
        self.ours, self.servers = socket.socketpair()
        self.number = self.ours.fileno()
        self.closed = self.broken = False
        self.fails: list[Exception] = []

    def fileno(self) -> int:
        if self.number < 0:
            raise psycopg.OperationalError("the connection is lost")
        return self.number

    def execute(self, *_: object) -> Rows:
        if self.fails:
            raise self.fails.pop()
        return Rows()

    def drop(self) -> None:
        self.ours.close()

    def close(self) -> None:
        self.drop()
        self.closed = True
        self.number = -1


@pytest.fixture
def wires() -> Iterator[list[Wire]]:
    """The connections that were opened, closed after the test."""
    opened: list[Wire] = []
    yield opened
    for wire in opened:
        wire.close()
        wire.servers.close()


@pytest.fixture
def session(wires: list[Wire]) -> Iterator[Session]:
    def opener(url: str, limits: Limits) -> Any:
        wires.append(Wire())
        return wires[-1]

    with Session("postgresql://nowhere", opener=opener) as session:
        yield session


def ended(sock: socket.socket) -> bool:
    """Whether the other end of this socket was shut down or closed."""
    sock.settimeout(0.1)
    try:
        return sock.recv(1) == b""
    except TimeoutError:
        return False


def test_cut_ends_the_connection_for_both_sides(session: Session, wires: list[Wire]) -> None:
    session.connect()
    session.cut()
    assert ended(wires[0].servers)
    assert ended(wires[0].ours)


def test_cut_leaves_a_socket_alone_that_has_the_descriptors_number_now(session: Session, wires: list[Wire]) -> None:
    """A connection that breaks closes its descriptor, and the next socket of the process gets the number."""
    session.connect()
    (wire,) = wires
    wire.drop()
    left, right = socket.socketpair()
    try:
        assert wire.number in (left.fileno(), right.fileno())
        session.cut()
        assert not ended(left)
        assert not ended(right)
    finally:
        left.close()
        right.close()


def test_cut_raises_nothing_when_the_connection_is_lost_at_that_moment(session: Session, wires: list[Wire]) -> None:
    session.connect()
    (wire,) = wires
    wire.number = -1
    session.cut()
    assert ended(wire.servers)


def test_after_a_close_the_connection_has_ended_for_the_server(session: Session, wires: list[Wire]) -> None:
    session.connect()
    session.close()
    assert ended(wires[0].servers)


def test_one_thread_may_cut_while_another_connects_and_closes(session: Session, wires: list[Wire]) -> None:
    failures: list[BaseException] = []
    done = threading.Event()

    def cutting() -> None:
        try:
            while not done.is_set():
                session.cut()
        except BaseException as error:  # noqa: BLE001 - the test's own thread has to see it
            failures.append(error)

    thread = threading.Thread(target=cutting)
    thread.start()
    try:
        for _ in range(200):
            session.connect()
            session.close()
            wires.pop().servers.close()
    finally:
        done.set()
        thread.join(60)
    assert failures == []


@pytest.mark.parametrize(
    ("error", "kind", "stays"),
    [
        (psycopg.OperationalError("lost"), DatabaseAwayError, True),
        (psycopg.errors.ReadOnlySqlTransaction("after a fail-over"), DatabaseAwayError, False),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), BadRowError, True),
        (KeyError("a bug"), KeyError, True),
    ],
)
def test_an_error_is_translated_and_costs_the_connection_only_if_it_is_lost(
    session: Session, wires: list[Wire], error: Exception, kind: type[Exception], stays: bool
) -> None:
    session.connect()
    wires[0].fails = [error]
    with pytest.raises(kind):
        session.execute(b"SELECT 1", {})
    assert session.connected == stays
    assert session.statement_age == 0


def test_a_broken_connection_is_left(session: Session, wires: list[Wire]) -> None:
    session.connect()
    wires[0].broken = True
    wires[0].fails = [psycopg.OperationalError("the server closed the connection unexpectedly")]
    with pytest.raises(DatabaseAwayError):
        session.execute(b"SELECT 1", {})
    assert not session.connected
    with pytest.raises(DatabaseAwayError, match="not connected"):
        session.execute(b"SELECT 1", {})


def test_a_session_whose_settings_are_refused_is_not_connected(wires: list[Wire]) -> None:
    def opener(url: str, limits: Limits) -> Any:
        wires.append(Wire())
        wires[-1].fails = [psycopg.errors.ReadOnlySqlTransaction("no")]
        return wires[-1]

    session = Session("postgresql://nowhere", opener=opener)
    with pytest.raises(DatabaseAwayError):
        session.connect()
    assert not session.connected
    assert wires[0].closed


def test_the_age_of_a_statement_is_the_clocks(wires: list[Wire]) -> None:
    ages: list[float] = []

    class Slow(Wire):
        def execute(self, *_: object) -> Rows:
            ages.append(slow.statement_age)
            return Rows()

    def opener(url: str, limits: Limits) -> Any:
        wires.append(Slow())
        return wires[-1]

    with Session("postgresql://nowhere", clock=iter([10.0, 12.5]).__next__, opener=opener) as slow:
        slow.connect()
        assert ages == [2.5]
        assert slow.statement_age == 0
