"""The law over state, target and waiting jobs, on the real database, beside an application that owns the target.

LAW_EXAMPLES=2000 runs as many histories.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobstatus_consumer.errors import StoreError
from jobstatus_consumer.records import Batch, Event, Written
from jobstatus_consumer.store import Finished, Limits, ProjectingStore, PurgeTable, Target, migrate
from law import table
from law.events import NOON, batch, saying
from law.histories import cuts, deliveries, one_of_all, tables
from law.model import Table
from law.target import POISON, REFUSED, Open, TargetRow, World, key_of
from psycopg.rows import TupleRow

Database = psycopg.Connection[TupleRow]
PATIENT = Limits(statement=120.0, lock=60.0)
"""A vacuum that cuts the emptied tables may have them for seconds on a machine that is busy."""
EVERY = Finished(("processing", "success", "error", "refused", "repaired"), NOON * 2)
EXAMPLES = int(os.environ.get("LAW_EXAMPLES", "300"))

JOBS = ("1", "2", "03", "other")
KEYS = (1, 2)
MODES = ("wait", "insert", "ignore")
WORK = f"""
CREATE TABLE work (
  id bigint PRIMARY KEY, status text NOT NULL DEFAULT 'new' CHECK (status <> '{REFUSED}'), error text,
  frozen boolean NOT NULL DEFAULT false, other text NOT NULL DEFAULT 'default', writes integer NOT NULL DEFAULT 0
)
"""
FILE = """
table = "work"
missing = "{missing}"
where = "NOT job.frozen"
every_event = {every_event}
[key]
id = "CASE WHEN event.job_id ~ '^[0-9]+$' THEN event.job_id END"
[set]
status = "coalesce(event.status, 'none')"
error = "event.error_message"
writes = "coalesce(job.writes, 0) + 1"
"""


@dataclass(frozen=True)
class Act:
    """What happens between two batches: of the application to one row, or of the store."""

    what: str
    key: int
    flag: bool


ACTS = ("insert", "delete", "write", "freeze", "begin insert", "begin delete", "begin update", "begin lock", "end")
acts = one_of_all((*ACTS, "settle", "settle", "replay", "repair", "purge", "purge"), KEYS, (False, True)).map(
    lambda given: Act(*given)
)


@dataclass(frozen=True)
class History:
    missing: str
    every_event: bool
    state: Table
    target: dict[int, TargetRow]
    steps: Sequence[tuple[Sequence[Event], Sequence[Act]]]


def worded(item: Event, word: str) -> Event:
    return item if word == "as it is" else saying(item, status=word)


@st.composite
def histories(draw: st.DrawFn) -> History:
    missing, every_event = draw(one_of_all(MODES, (True, False)))
    words = one_of_all(("as it is", "as it is", "as it is", "as it is", REFUSED, POISON))
    events = draw(deliveries(JOBS))
    said: dict[tuple[str, int], str] = {}
    for item in events:
        # an event says the same whenever it is delivered
        if (item.log_id, item.offset) not in said:
            said[item.log_id, item.offset] = draw(words)[0]
    events = [worded(item, said[item.log_id, item.offset]) for item in events]
    state = {job: row for job, row in draw(tables(JOBS)).items() if job != "03"}
    rows = one_of_all((None, False, True))
    target = {key: TargetRow(frozen=frozen) for key in KEYS if (frozen := draw(rows)[0]) is not None}
    return History(
        missing,
        every_event,
        state,
        target,
        [(events, draw(st.lists(acts, max_size=4))) for events in draw(cuts(events))],
    )


class Place:
    """The real database: a store for each mode, and the application's two sessions."""

    def __init__(self, url: str, folder: Path) -> None:
        self.look = psycopg.connect(url, autocommit=True)
        self.application = psycopg.connect(url)
        self.look.execute(WORK)
        self.stores = {}
        for missing in MODES:
            for every_event in (True, False):
                path = folder / f"{missing}-{every_event}.toml"
                path.write_text(FILE.format(missing=missing, every_event=str(every_event).lower()))
                target = Target.read(str(path))
                migrate(url, "jobs", target=target)
                self.stores[missing, every_event] = ProjectingStore(url, "jobs", target, limits=PATIENT)
                self.stores[missing, every_event].connect()
        self.look.execute(f"ALTER TABLE jobs ADD CONSTRAINT no_poison CHECK (status <> '{POISON}')")

        self.purging = PurgeTable(url, "jobs")

    def close(self) -> None:
        self.purging.close()
        for store in self.stores.values():
            store.close()
        self.application.close()
        self.look.close()

    def begin(self, history: History) -> ProjectingStore:
        self.application.rollback()
        table.replace(self.look, history.state)
        self.look.execute("DELETE FROM work")
        self.look.execute("DELETE FROM jobs_waiting")
        for key, row in history.target.items():
            self.look.execute("INSERT INTO work (id, frozen, other) VALUES (%s, %s, %s)", (key, row.frozen, row.other))
        return self.stores[history.missing, history.every_event]

    def target(self) -> dict[int, TargetRow]:
        rows = self.look.execute("SELECT id, status, error, frozen, other, writes FROM work")
        return {key: TargetRow(*rest) for key, *rest in rows}

    def waiting(self) -> set[str]:
        return {job for (job,) in self.look.execute("SELECT job_id FROM jobs_waiting")}


@pytest.fixture
def place(empty_url: str, tmp_path: Path) -> Iterator[Place]:
    place = Place(empty_url, tmp_path)
    yield place
    place.close()


Write = Callable[[ProjectingStore, Batch], Written]


def alone(store: ProjectingStore, item: Batch) -> Written:
    return store.write(item)


def sent(store: ProjectingStore, item: Batch) -> Written:
    """As the writer does with several batches in flight: what cannot be sent, or is refused, is written alone."""
    with suppress(StoreError):
        if store.send(item):
            written = store.receive()
            store.rest()
            assert written is not None
            return written
    store.rest()
    return store.write(item)


class Run:
    """One history, played on the database and on the model."""

    def __init__(self, place: Place, history: History, write: Write) -> None:
        self.place = place
        self.way = write
        self.history = history
        self.store = place.begin(history)
        self.world = World(history.missing, dict(history.state), dict(history.target))
        self.seen: list[Event] = []

    def play(self) -> None:
        for events, acts in self.history.steps:
            self.seen += events
            self.write(events)
            for act in acts:
                self.act(act)
                self.compare()
        self.end(commit=True)
        self.settle()
        self.compare()

    def write(self, events: Sequence[Event]) -> None:
        self.world.touched = 0
        refused = self.world.write(events)
        written = self.way(self.store, batch(events, ranges=()))
        assert written.applied + written.merged + sum(written.stale.values()) + len(written.rejected) == len(events)
        if self.history.every_event:
            # PostgreSQL judges a CHECK of the state also for an event that the guard refuses
            poison = {(item.log_id, item.offset) for item in events if item.status == POISON}
            rejected = [(item.raw.log_id, item.raw.offset) for item in written.rejected]
            positions = [(item.log_id, item.offset) for item in refused]
            assert sorted(at for at in rejected if at not in poison) == sorted(
                at for at in positions if at not in poison
            )
            assert written.projected is not None
            assert written.projected.written + written.projected.inserted == self.world.touched
        self.compare()

    def settle(self) -> None:
        self.place.look.execute("UPDATE jobs_waiting SET next_try = now()")
        self.store.settle()
        assert not self.store.page_left
        self.world.settle()
        assert self.store.waiting.jobs == len(self.world.waiting)

    def compare(self) -> None:
        assert table.read(self.place.look) == self.world.state
        assert self.counted(self.place.target()) == self.counted(self.world.target)
        assert self.place.waiting() == self.world.waiting

    def counted(self, rows: dict[int, TargetRow]) -> dict[int, TargetRow]:
        """Where events are folded, the number of writes is not the model's."""
        if self.history.every_event:
            return rows
        return {key: TargetRow(row.status, row.error, row.frozen, row.other) for key, row in rows.items()}

    # -- the application ----------------------------------------------------------------------------------------------

    def act(self, act: Act) -> None:
        kind, _, what = act.what.partition(" ")
        if kind == "settle":
            self.settle()
        elif kind == "replay":
            self.write(self.seen)
        elif kind == "repair":
            self.repair(str(act.key))
        elif kind == "purge":
            self.place.purging.purge(EVERY, [str(act.key)])
            self.world.purge(str(act.key))
        elif kind == "end":
            self.end(commit=act.flag)
        elif act.key not in self.world.busy:
            if kind == "begin":
                self.begin(Open(what, act.key))
            else:
                self.change(kind, act)

    def begin(self, item: Open) -> None:
        there = item.key in self.world.target
        if there == (item.kind == "insert") or (item.kind == "insert" and self.history.missing == "insert"):
            return  # an insert waits for a row that is being inserted
        statements = {
            "insert": "INSERT INTO work (id, other) VALUES (%s, 'theirs')",
            "delete": "DELETE FROM work WHERE id = %s",
            "update": "UPDATE work SET other = 'updated' WHERE id = %s",
            "lock": "SELECT FROM work WHERE id = %s FOR UPDATE",
        }
        self.place.application.execute(statements[item.kind], (item.key,))
        self.world.open.append(item)

    def end(self, *, commit: bool) -> None:
        if commit:
            self.place.application.commit()
        else:
            self.place.application.rollback()
        self.world.end(commit=commit)

    def change(self, kind: str, act: Act) -> None:
        look, target, key = self.place.look, self.world.target, act.key
        row = target.get(key)
        if kind == "insert" and row is None:
            look.execute("INSERT INTO work (id, frozen, other) VALUES (%s, %s, 'theirs')", (key, act.flag))
            target[key] = TargetRow(frozen=act.flag)
        elif kind == "delete" and row is not None:
            look.execute("DELETE FROM work WHERE id = %s", (key,))
            del target[key]
        elif kind == "write" and row is not None:
            look.execute("UPDATE work SET status = 'written', other = 'x' WHERE id = %s", (key,))
            target[key] = TargetRow("written", row.error, row.frozen, "x", row.writes)
        elif kind == "freeze" and row is not None:
            look.execute("UPDATE work SET frozen = %s WHERE id = %s", (act.flag, key))
            target[key] = TargetRow(row.status, row.error, act.flag, row.other, row.writes)

    def repair(self, job: str) -> None:
        """Whatever else changes the state lets the job wait."""
        row = self.world.state.get(job)
        assert key_of(job)
        if row is None or row.purged:
            return
        self.place.look.execute("UPDATE jobs SET status = 'repaired' WHERE job_id = %s", (job,))
        self.place.look.execute(
            "INSERT INTO jobs_waiting VALUES (%s, now(), now(), 0, 'changed') ON CONFLICT DO NOTHING", (job,)
        )
        self.world.state[job] = type(row)(**{**row.__dict__, "status": "repaired"})
        self.world.waiting.add(job)


@pytest.mark.parametrize(("write", "examples"), [(alone, EXAMPLES), (sent, EXAMPLES // 5)], ids=["alone", "sent"])
def test_state_target_and_waiting_are_the_models_after_every_step(place: Place, write: Write, examples: int) -> None:
    @settings(max_examples=examples)
    @given(histories())
    def holds(history: History) -> None:
        Run(place, history, write).play()

    holds()
