"""Several batches in flight, by the writer's thread on the real database: the law, and faults at any place.

The test is the loop: it submits batches while there is room, and again what comes back.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobstatus_consumer.core import Budget, DeadLetter, Statement
from jobstatus_consumer.records import Batch, Event, LogRange
from jobstatus_consumer.store.sending import SendingStore
from jobstatus_consumer.stream import in_flight
from jobstatus_consumer.stream.tasks import IN_HAND, BatchReturned, BatchWritten, ProgressRead, ReadProgress
from jobstatus_consumer.stream.writer import Writer
from jobstatus_local.postgres import LocalPostgres
from jobstatus_local.proxy import TcpProxy
from law import table
from law.events import LOG_A, batch, event, saying
from law.histories import History, histories
from psycopg.rows import TupleRow
from support.opened import Opened
from support.waiting import until

Database = psycopg.Connection[TupleRow]
Between = Callable[[int], object]
LONG = 60.0
"""Seconds; a result comes in milliseconds, also on a machine that is busy."""


POISONS: Sequence[dict[str, Any]] = ({"status": "poison"}, {"error_message": "\0"}, {"status": "late poison"})
"""What a CHECK refuses, what does not even parse, and what is refused only by the commit."""


def refuse(database: Database) -> None:
    database.execute("ALTER TABLE jobs ADD CONSTRAINT no_poison CHECK (status <> 'poison')")
    database.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'check_violation'; END $$"
    )
    database.execute(
        "CREATE CONSTRAINT TRIGGER late AFTER INSERT OR UPDATE ON jobs DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW WHEN (new.status = 'late poison') EXECUTE FUNCTION refuse()"
    )


def poisoned(history: History, events: Sequence[Event]) -> Batch:
    """The batch as it comes, with what can never be written."""
    found = [saying(item, **POISONS[item.offset % 3]) if history.is_bad(item) else item for item in events]
    return batch(found, ranges=())


@dataclass
class Loop:
    """The loop's part: what was submitted, what came back, and what is written."""

    writer: Writer
    most: int
    """how many batches are submitted before the first has its result"""
    letters: list[DeadLetter] = field(default_factory=list)

    def send(self, letters: Sequence[DeadLetter]) -> None:
        self.letters += letters

    def compare(self) -> None:
        self.writer.submit(ReadProgress())
        assert isinstance(self.writer.result(LONG), ProgressRead)

    def write(self, batches: Sequence[Batch], between: Between = lambda number: None) -> list[BatchWritten]:
        """Write these; `between` is called after each submission, with how many there were."""
        waiting, submitted, written = deque(batches), deque[Batch](), list[BatchWritten]()
        count = 0
        while waiting or submitted:
            while waiting and len(submitted) < self.most:
                submitted.append(waiting.popleft())
                self.writer.submit(submitted[-1])
                count += 1
                between(count)
            result = self.writer.result(LONG)
            if isinstance(result, BatchWritten):
                assert result.batch.events is submitted.popleft().events, "the results are not in order"
                written.append(result)
            else:
                assert isinstance(result, BatchReturned), result
                assert result.batch.events is submitted[0].events
                waiting.extendleft(reversed(submitted))
                submitted.clear()
        return written


@contextmanager
def looping(store: SendingStore, window: int) -> Iterator[Loop]:
    loop: Any = Loop(None, window + IN_HAND)  # type: ignore[arg-type]
    loop.writer = Writer(store, loop, Budget(10**9, 100), "group", "job-status", several=window)
    loop.writer.start()
    loop.compare()
    yield loop
    loop.writer.close(LONG)
    assert not loop.writer.alive


@pytest.fixture
def store(url: str, opened: Opened) -> SendingStore:
    """The writer's thread connects it and closes it."""
    return SendingStore(url, "jobs", opener=opened)


def test_any_history_ends_as_one_by_one_with_several_batches_on_their_way(url: str, database: Database) -> None:
    """What can never be written is at any place of the window, and at any place the connection ends."""
    refuse(database)

    def end_connections() -> None:
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'jobstatus' AND datname = current_database()"
        )

    with ExitStack() as stack:
        loops = [
            stack.enter_context(looping(SendingStore(url, "jobs", opener=Opened()), window)) for window in (1, 2, 3, 4)
        ]

        @settings(max_examples=130)
        @given(histories(), st.sampled_from(loops), st.none() | st.integers(1, 6))
        def holds(history: History, loop: Loop, end: int | None) -> None:
            table.replace(database, history.rows)
            batches = [poisoned(history, events) for events in history.deliveries]
            written = loop.write(batches, lambda number: end_connections() if number == end else None)
            for result, events in zip(written, history.deliveries, strict=True):
                found = result.written
                assert found.applied + found.merged + sum(found.stale.values()) + len(found.rejected) == len(events)
                assert {(item.raw.log_id, item.raw.offset) for item in found.rejected} <= history.bad
                assert all(count > 0 for count in found.stale.values())
            assert table.read(database) == history.expected

        holds()


def attempts(place: int, poison: dict[str, Any]) -> list[Batch]:
    """Four batches; the one at `place` has a job whose next event, in the batch behind, is of a lower attempt."""
    found = []
    for number in range(4):
        attempt = 2 if number == place else 1
        events = [event("job", 10 * number, attempt=attempt), event(f"other-{number}", 10 * number + 1)]
        if number == place:
            events.append(saying(event("bad", 10 * number + 2), **poison))
        found.append(batch(events))
    return contiguous(found)


def contiguous(batches: Sequence[Batch]) -> list[Batch]:
    """The batches with ranges that follow each other, as a builder makes them."""
    start, found = 0, []
    for item in batches:
        end = max(event.offset for event in item.events) + 1
        found.append(batch(item.events, [LogRange("job-status", 0, LOG_A, start, end)]))
        start = end
    return found


@pytest.mark.parametrize("poison", POISONS, ids=["check", "parse", "commit"])
@pytest.mark.parametrize("place", range(3))
def test_nothing_behind_a_batch_that_is_refused_is_written_before_it(
    url: str, store: SendingStore, database: Database, place: int, poison: dict[str, Any]
) -> None:
    """If it were, the row would have the lower attempt of the batch behind, and keep it."""
    refuse(database)
    with looping(store, 4) as loop:
        written = loop.write(attempts(place, poison))
    assert [item.written.applied for item in written] == [2] * (place + 1) + [1] * (3 - place)
    assert [dict(item.written.stale) for item in written[place + 1 :]] == [{"lower_attempt": 1}] * (3 - place)
    assert [len(item.written.rejected) for item in written] == [int(number == place) for number in range(4)]
    assert [letter.key for letter in loop.letters] == [b"bad"]
    rows = table.read(database)
    assert (rows["job"].attempt, rows["job"].offset) == (2, 10 * place)
    assert progress(database) == 32 if place == 3 else progress(database) > 30


def progress(database: Database) -> int:
    row = database.execute("SELECT next_offset FROM jobs_progress WHERE log_id = %s", (LOG_A,)).fetchone()
    return 0 if row is None else int(row[0])


def test_events_are_counted_as_with_one_batch_at_a_time(url: str, store: SendingStore, database: Database) -> None:
    """Each reason is judged by the row before the batches behind have moved it on."""
    batches = [
        [event("a", 0, attempt=2), event("b", 1), event("c", 2), event("a", 3, attempt=1)],
        [event("a", 4, attempt=1), event("b", 5, late=True), event("c", 6, time=5)],
        [event("a", 7, attempt=3), event("b", 8, time=9), event("c", 9, time=9)],
        [event("a", 4, attempt=1), event("b", 8, time=9), event("new", 10)],
    ]
    counted = []
    for window in (1, 4):
        table.replace(database, {})
        database.execute("DELETE FROM jobs_progress")
        with looping(store, window) as loop:
            written = loop.write([batch(events, ranges=()) for events in batches])
        counted.append([(item.written.applied, item.written.merged, item.written.stale) for item in written])
    assert counted[0] == counted[1]
    assert sum(sum(stale.values()) for _, _, stale in counted[1]) == 5


def test_a_row_that_a_trigger_leaves_out_is_a_dead_letter(url: str, store: SendingStore, database: Database) -> None:
    database.execute(
        "CREATE FUNCTION leave_out() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF new.status = 'left out' THEN RETURN NULL; END IF; RETURN new; END $$"
    )
    database.execute(
        "CREATE TRIGGER leave_out BEFORE INSERT OR UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION leave_out()"
    )
    batches = [
        [event(f"job-{number}", 2 * number), event(f"no-{number}", 2 * number + 1, status="left out")]
        for number in range(4)
    ]
    with looping(store, 4) as loop:
        written = loop.write(contiguous([batch(events) for events in batches]))
    assert [(item.written.applied, [row.reason for row in item.written.rejected]) for item in written] == [
        (1, ["left_out"])
    ] * 4
    assert len(loop.letters) == 4
    assert progress(database) == 8


def jobs(count: int) -> list[Batch]:
    """So many batches of ten events, whose attempts fall: out of order the rows would be others."""
    size = 10
    return contiguous(
        [
            batch([event(f"job-{at}", number * size + at, attempt=1 + count - number) for at in range(size)])
            for number in range(count)
        ]
    )


def assert_whole(database: Database, count: int) -> None:
    assert progress(database) == 10 * count
    assert {row.attempt for row in table.read(database).values()} == {count + 1}


@pytest.mark.parametrize("fault", ["cut", "deaf", "stopped"])
def test_a_fault_of_the_network_or_the_server_fails_the_batches_in_flight_and_they_come_again(
    url: str, postgres: LocalPostgres, database: Database, fault: str
) -> None:
    with TcpProxy(postgres.port) as proxy:
        store = SendingStore(proxy.through(url), "jobs")

        def break_it(number: int) -> None:
            if number != 10:
                return
            if fault == "cut":
                proxy.cut()
                return
            if fault == "deaf":
                proxy.deaf()
            else:
                proxy.refuse()
                proxy.cut()
            healing.start()

        def heal() -> None:
            until(lambda: store.statement_age > 0.05 or loop.writer.outage, "something waits")
            store.cut()  # as the loop does after some seconds
            proxy.heal()

        healing = threading.Thread(target=heal)
        with looping(store, 4) as loop:
            written = loop.write(jobs(40), break_it)
            if fault != "cut":
                healing.join()
    assert len(written) == 40
    assert_whole(database, 40)


def test_while_nothing_comes_the_session_is_idle_for_others(store: SendingStore, database: Database) -> None:
    """In pipeline mode it looks active, and the server does not know what it changed."""

    def state() -> str:
        query = (
            "SELECT state FROM pg_stat_activity WHERE application_name = 'jobstatus' AND datname = current_database()"
            " ORDER BY backend_start DESC LIMIT 1"
        )
        row = database.execute(query).fetchone()
        return str(row[0]) if row else "none"

    with looping(store, 4) as loop:
        loop.write(jobs(8))
        until(lambda: state() == "idle", "the session is idle")
        loop.write(jobs(8))


def test_the_connection_rests_now_and_then_while_batches_keep_coming(
    store: SendingStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_flight, "REST_EVERY", 0.0)
    rests = 0
    rest = store.rest

    def counting() -> None:
        nonlocal rests
        rests += 1
        rest()

    monkeypatch.setattr(store, "rest", counting)
    with looping(store, 4) as loop:
        loop.write(jobs(40))
    assert rests >= 10
    assert_whole(database, 40)


def test_the_server_looks_for_a_client_that_has_vanished(store: SendingStore, opened: Opened) -> None:
    store.connect()
    (item,) = jobs(1)
    assert store.send(item)
    assert store.receive() is not None
    store.rest()
    row = opened.last.execute("SELECT current_setting('tcp_keepalives_idle')").fetchone()
    store.close()
    assert row == ("15",)


def test_several_batches_are_in_flight_at_once(store: SendingStore, database: Database) -> None:
    with database.transaction(), looping(store, 4) as loop:
        database.execute("LOCK TABLE jobs")
        for item in jobs(4):
            loop.writer.submit(item)
        assert until(lambda: len(loop.writer._in_flight) == 4, "all are sent")
        database.execute("COMMIT")
        results = [loop.writer.result(LONG) for _ in range(4)]
    assert all(isinstance(result, BatchWritten) for result in results)
    assert_whole(database, 4)


def test_each_statement_of_a_batch_has_its_own_time(
    url: str, opened: Opened, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop cuts the connection of one that takes too long; a batch may have as many as a job has events."""
    now = 100.0
    store = SendingStore(url, "jobs", opener=opened, clock=lambda: now)
    monkeypatch.setattr(store, "fold", lambda events: [Statement([event], {}) for event in events])
    database.execute(
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF new.status = 'waits' THEN PERFORM pg_advisory_xact_lock(7); END IF; RETURN new; END $$"
    )
    database.execute("CREATE TRIGGER wait BEFORE INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION wait()")
    database.execute("SELECT pg_advisory_lock(7)")
    store.connect()
    assert store.send(batch([event("first", 0), event("second", 1, status="waits")]))
    now += 10
    assert store.statement_age == 10
    found: list[Any] = []
    receiving = threading.Thread(target=lambda: found.append(store.receive()))
    receiving.start()
    try:
        until(lambda: store.statement_age == 0, "the first statement's result has come")
    finally:
        database.execute("SELECT pg_advisory_unlock(7)")
        receiving.join(LONG)
        store.close()
    assert found[0].applied == 2


def test_a_server_that_vanishes_before_the_first_statement_is_noticed(
    store: SendingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The statement that sets the keepalives runs on a connection before the first batch."""
    ages: list[bool] = []
    use = store.use

    @contextmanager
    def used() -> Iterator[Any]:
        ages.append(store._sent_at is not None)
        with use() as connection:
            yield connection

    store.connect()
    monkeypatch.setattr(store, "use", used)
    assert store.send(jobs(1)[0])
    assert store.receive() is not None
    store.close()
    assert all(ages)
