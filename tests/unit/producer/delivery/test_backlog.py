"""The backlog between memory and spool: order, what happens when the file cannot be written, and when it is damaged."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import product
from pathlib import Path

import pytest
from jobstatus_producer import ProducerSettings
from jobstatus_producer.delivery.backlog import REFUSED_SHARE, Backlog
from jobstatus_producer.spool import folder as spool_folder
from jobstatus_producer.spool.rows import size_of
from support.spools import entry, leave_behind

KAFKA = {"bootstrap.servers": "127.0.0.1:1"}
Open = Callable[..., Backlog]


@pytest.fixture
def troubles() -> list[str]:
    return []


@pytest.fixture
def open_backlog(tmp_path: Path, troubles: list[str]) -> Iterator[Open]:
    made: list[Backlog] = []

    def make(*, spool: bool = True, max_bytes: int = 10**9, durable: bool = False) -> Backlog:
        settings = ProducerSettings(
            kafka=KAFKA, spool_dir=tmp_path if spool else None, spool_max_bytes=max_bytes, durable=durable
        )
        made.append(Backlog(settings, troubles.append))
        return made[-1]

    yield make
    for backlog in made:
        backlog.close()


def seqs(backlog: Backlog, count: int = 1000) -> list[int]:
    return [found.seq for found in backlog.first(count).records]


def read_only(folder: Path, yes: bool) -> None:
    """SQLite itself refuses to write to the spools in `folder`."""
    for path in spool_folder.paths(folder):
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            for table, change in product(("events", "refused"), ("insert", "update", "delete")):
                name = f"no_{change}_{table}"
                if yes:
                    fail = "begin select raise(abort, 'attempt to write a readonly database'); end"
                    database.execute(f"create trigger {name} before {change} on {table} {fail}")
                else:
                    database.execute(f"drop trigger {name}")


def refused_in(folder: Path) -> list[str]:
    """Why the events in the folder's only spool were refused."""
    (info,) = spool_folder.inspect(folder)
    return [refused.reason for refused in info.refused]


def test_without_a_spool_events_wait_in_memory_in_their_order(open_backlog: Open) -> None:
    backlog = open_backlog(spool=False)
    assert backlog.accept([entry(2), entry(3)], in_memory=True)
    backlog.hold([entry(1)])
    assert seqs(backlog) == [1, 2, 3]
    backlog.settle([entry(1), entry(2)], None)
    assert (seqs(backlog), backlog.in_memory, backlog.spool_depth) == ([3], 1, 0)
    assert backlog.bytes_in_memory == len(entry(3).value)
    assert not backlog.refuse(entry(3), "too large")
    assert backlog.bytes_in_memory == 0
    backlog.hold([entry(3)])
    assert not backlog.accept([entry(4), entry(5)], in_memory=False)
    assert backlog.close() == [entry(3)]


def test_with_a_spool_a_new_event_is_in_the_file_when_it_is_accepted(open_backlog: Open) -> None:
    backlog = open_backlog()
    assert backlog.accept([entry(2)], in_memory=False)
    backlog.hold([entry(1)])
    assert (backlog.in_memory, backlog.spool_depth, seqs(backlog)) == (1, 1, [1, 2])
    assert backlog.bytes_in_memory == len(entry(1).value)
    backlog.move_to_spool()
    assert (backlog.in_memory, backlog.spool_depth, seqs(backlog)) == (0, 2, [1, 2])
    assert backlog.bytes_in_memory == 0


def test_a_spool_that_cannot_be_written_makes_events_wait_in_memory_within_their_bound(
    open_backlog: Open, tmp_path: Path, troubles: list[str]
) -> None:
    backlog = open_backlog()
    assert backlog.accept([entry(1)], in_memory=True)
    read_only(tmp_path, True)
    assert backlog.accept([entry(2)], in_memory=True)
    assert not backlog.accept([entry(3)], in_memory=False)
    assert (backlog.spool_works, backlog.in_memory, seqs(backlog)) == (False, 1, [1, 2])
    assert "the spool cannot be written, events wait in memory" in troubles[0]
    read_only(tmp_path, False)
    backlog.move_to_spool()
    assert (backlog.spool_works, backlog.in_memory, backlog.spool_depth) == (True, 0, 2)


def test_a_durable_one_accepts_nothing_that_it_cannot_write(open_backlog: Open, tmp_path: Path) -> None:
    backlog = open_backlog(durable=True)
    read_only(tmp_path, True)
    assert not backlog.accept([entry(1)], in_memory=True)
    assert len(backlog) == 0


def test_events_that_cannot_be_deleted_are_not_sent_twice(
    open_backlog: Open, tmp_path: Path, troubles: list[str]
) -> None:
    backlog = open_backlog()
    assert backlog.accept([entry(1), entry(2)], in_memory=False)
    read_only(tmp_path, True)
    backlog.settle([entry(1)], None)
    assert seqs(backlog) == [2]
    assert "cannot be deleted" in troubles[0]
    read_only(tmp_path, False)


def test_a_full_spool_accepts_nothing_new_and_goes_on_when_there_is_room(
    open_backlog: Open, troubles: list[str]
) -> None:
    backlog = open_backlog(max_bytes=300)
    assert backlog.accept([entry(1)], in_memory=True)
    assert backlog.accept([entry(2)], in_memory=True)
    assert not backlog.accept([entry(3)], in_memory=True)
    assert troubles == ["the spool is full (JOBSTATUS_SPOOL_MAX_BYTES=300)"]
    backlog.hold([entry(4)])
    backlog.move_to_spool()
    assert backlog.in_memory == 1, "what was accepted already stays, in memory if it must"
    assert troubles == ["the spool is full (JOBSTATUS_SPOOL_MAX_BYTES=300)"] * 2
    backlog.settle([entry(1), entry(2)], None)
    assert backlog.accept([entry(5)], in_memory=True)
    assert seqs(backlog) == [4, 5]


def test_of_what_came_back_the_oldest_that_fit_are_spooled_and_the_full_spool_is_said(
    open_backlog: Open, troubles: list[str]
) -> None:
    backlog = open_backlog(max_bytes=3 * size_of(entry(1)))
    backlog.hold([entry(seq) for seq in range(1, 6)])
    backlog.move_to_spool()
    assert (backlog.spool_depth, backlog.in_memory, backlog.oldest()) == (3, 2, 1)
    assert backlog.bytes_in_memory == 2 * len(entry(1).value)
    assert troubles == [f"the spool is full (JOBSTATUS_SPOOL_MAX_BYTES={3 * size_of(entry(1))})"]
    assert seqs(backlog) == [1, 2, 3, 4, 5]
    backlog.settle([entry(1), entry(2)], None)
    backlog.move_to_spool()
    assert (backlog.spool_depth, backlog.in_memory, backlog.bytes_in_memory) == (3, 0, 0)


def test_what_dead_processes_left_goes_out_first(open_backlog: Open, tmp_path: Path) -> None:
    leave_behind(tmp_path, [entry(1), entry(2)])
    leave_behind(tmp_path, [entry(1), entry(3)])
    backlog = open_backlog()
    assert backlog.accept([entry(9)], in_memory=False)
    assert (len(backlog), backlog.oldest(), backlog.newest()) == (5, 1, 9)
    found = []
    while chunk := backlog.first(1).records:
        source = backlog.first(1).taken_over
        found.append(chunk[0].seq)
        backlog.settle(chunk, source)
    assert sorted(found[:4]) == [1, 1, 2, 3]
    assert found[4:] == [9]
    assert len([name for name in os.listdir(tmp_path) if name.endswith(".spool")]) == 1


def damage(path: Path) -> None:
    """Overwrite the middle of a spool file. The write before it makes its owner read the file and not its cache."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("create table other (value)")
        database.execute("drop table other")
        database.execute("pragma wal_checkpoint(truncate)")
    with path.open("r+b") as damaged:
        damaged.seek(4096)
        damaged.write(random.Random(3).randbytes(path.stat().st_size - 4096 * 3))


@pytest.mark.parametrize("whose", ["own", "taken over"])
def test_a_file_that_is_damaged_while_in_use_is_replaced_and_what_is_readable_goes_on(
    open_backlog: Open, tmp_path: Path, whose: str, caplog: pytest.LogCaptureFixture
) -> None:
    left = leave_behind(tmp_path, [entry(seq, message="m" * 300) for seq in range(1, 101)])
    backlog = open_backlog()
    assert backlog.accept([entry(seq, message="m" * 300) for seq in range(200, 300)], in_memory=False)
    own = next(path for path in spool_folder.paths(tmp_path) if path != left)
    if whose == "own":
        while (chunk := backlog.first(50)).taken_over is not None:
            backlog.settle(chunk.records, chunk.taken_over)
    damage(left if whose == "taken over" else own)
    found = set()
    while chunk := backlog.first(50):
        if not chunk.records:
            break
        found.update(chunk.records)
        backlog.settle(chunk.records, chunk.taken_over)
    assert all(kept == entry(kept.seq, message="m" * 300) for kept in found)
    if whose == "taken over":
        assert {kept.seq for kept in found} >= set(range(200, 300)), "the sound file is not touched by it"
    assert "a spool is damaged" in caplog.text
    assert list(tmp_path.glob("*.damaged"))
    assert backlog.accept([entry(900)], in_memory=False)
    assert seqs(backlog) == [900]


def test_a_refused_event_is_kept_where_there_is_a_spool(open_backlog: Open, tmp_path: Path) -> None:
    assert not open_backlog(spool=False).refuse(entry(1), "too large")
    backlog = open_backlog()
    backlog.hold([entry(1)])
    assert backlog.refuse(entry(1), "too large")
    assert len(backlog) == 0
    assert refused_in(tmp_path) == ["too large"]


def test_refused_events_take_a_bounded_part_and_those_beyond_it_are_not_kept(
    open_backlog: Open, tmp_path: Path, troubles: list[str]
) -> None:
    backlog = open_backlog(max_bytes=2 * REFUSED_SHARE * size_of(entry(1)))
    assert backlog.accept([entry(seq) for seq in range(1, 5)], in_memory=False)
    kept = [backlog.refuse(entry(seq), "too large") for seq in range(1, 5)]
    assert kept == [True, True, False, False]
    assert (len(backlog), seqs(backlog)) == (0, []), "what is not kept is its caller's, and goes out no more"
    assert (
        troubles
        == [f"a refused event cannot be kept in the spool: {2 * size_of(entry(1))} bytes of them are there"] * 2
    )
    (path,) = spool_folder.paths(tmp_path)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("delete from refused")
    assert backlog.refuse(entry(9), "too large"), "a person may make room at any moment"


def test_a_refused_event_that_cannot_be_written_is_its_callers(
    open_backlog: Open, tmp_path: Path, troubles: list[str]
) -> None:
    backlog = open_backlog()
    assert backlog.accept([entry(1), entry(2)], in_memory=False)
    read_only(tmp_path, True)
    assert not backlog.refuse(entry(1), "too large")
    assert "a refused event cannot be kept in the spool" in troubles[0]
    assert (len(backlog), seqs(backlog)) == (1, [2])
    read_only(tmp_path, False)


def test_a_record_that_is_done_with_leaves_no_mark_behind(open_backlog: Open) -> None:
    backlog = open_backlog()
    for end in (lambda: backlog.settle([entry(1)], None), lambda: backlog.refuse(entry(1), "too large")):
        assert backlog.accept([entry(1)], in_memory=False)
        assert backlog.first(1).maybe_in_log == frozenset()
        backlog.note_tried([1])
        assert backlog.first(1).maybe_in_log == {1}
        end()
