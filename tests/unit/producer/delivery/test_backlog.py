"""The backlog between memory and spool: order, what happens when the file cannot be written, and when it is damaged."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from jobstatus_producer import ProducerSettings
from jobstatus_producer.delivery.backlog import REFUSED_SHARE, Backlog
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
    return [found.seq for found in backlog.first(count).entries]


def read_only(backlog: Backlog, yes: bool) -> None:
    """SQLite itself refuses to write."""
    assert backlog._own is not None
    backlog._own._database.execute(f"pragma query_only={int(yes)}")


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
    open_backlog: Open, troubles: list[str]
) -> None:
    backlog = open_backlog()
    assert backlog.accept([entry(1)], in_memory=True)
    read_only(backlog, True)
    assert backlog.accept([entry(2)], in_memory=True)
    assert not backlog.accept([entry(3)], in_memory=False)
    assert (backlog.broken, backlog.in_memory, seqs(backlog)) == (True, 1, [1, 2])
    assert "the spool cannot be written, events wait in memory" in troubles[0]
    read_only(backlog, False)
    backlog.move_to_spool()
    assert (backlog.broken, backlog.in_memory, backlog.spool_depth) == (False, 0, 2)


def test_a_durable_one_accepts_nothing_that_it_cannot_write(open_backlog: Open) -> None:
    backlog = open_backlog(durable=True)
    read_only(backlog, True)
    assert not backlog.accept([entry(1)], in_memory=True)
    assert len(backlog) == 0


def test_events_that_cannot_be_deleted_are_not_sent_twice(open_backlog: Open, troubles: list[str]) -> None:
    backlog = open_backlog()
    assert backlog.accept([entry(1), entry(2)], in_memory=False)
    read_only(backlog, True)
    backlog.settle([entry(1)], None)
    assert seqs(backlog) == [2]
    assert "cannot be deleted" in troubles[0]
    read_only(backlog, False)


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
    while chunk := backlog.first(1).entries:
        source = backlog.first(1).orphan
        found.append(chunk[0].seq)
        backlog.settle(chunk, source)
    assert sorted(found[:4]) == [1, 1, 2, 3]
    assert found[4:] == [9]
    assert len([name for name in os.listdir(tmp_path) if name.endswith(".spool")]) == 1


@pytest.mark.parametrize("whose", ["own", "taken over"])
def test_a_file_that_is_damaged_while_in_use_is_replaced_and_what_is_readable_goes_on(
    open_backlog: Open, tmp_path: Path, whose: str, caplog: pytest.LogCaptureFixture
) -> None:
    left = leave_behind(tmp_path, [entry(seq, message="m" * 300) for seq in range(1, 101)])
    backlog = open_backlog()
    assert backlog.accept([entry(seq, message="m" * 300) for seq in range(200, 300)], in_memory=False)
    assert backlog._own is not None
    path = left if whose == "taken over" else backlog._own.path
    if whose == "own":
        while (chunk := backlog.first(50)).orphan is not None:
            backlog.settle(chunk.entries, chunk.orphan)
    file = backlog._own if whose == "own" else backlog._orphans[0]
    file._database.execute("pragma wal_checkpoint(truncate)")
    file._database.execute("pragma shrink_memory")
    with path.open("r+b") as damaged:
        damaged.seek(4096)
        damaged.write(random.Random(3).randbytes(path.stat().st_size - 4096 * 3))
    found = set()
    while chunk := backlog.first(50):
        if not chunk.entries:
            break
        found.update(chunk.entries)
        backlog.settle(chunk.entries, chunk.orphan)
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
    assert backlog._own is not None
    assert [refused.reason for refused in backlog._own.refused()] == ["too large"]


def test_refused_events_take_a_bounded_part_and_those_beyond_it_are_not_kept(
    open_backlog: Open, troubles: list[str]
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
    assert backlog._own is not None
    backlog._own._database.execute("delete from refused")
    assert backlog.refuse(entry(9), "too large"), "a person may make room at any moment"


def test_a_refused_event_that_cannot_be_written_is_its_callers(open_backlog: Open, troubles: list[str]) -> None:
    backlog = open_backlog()
    assert backlog.accept([entry(1), entry(2)], in_memory=False)
    read_only(backlog, True)
    assert not backlog.refuse(entry(1), "too large")
    assert "a refused event cannot be kept in the spool" in troubles[0]
    assert (len(backlog), seqs(backlog)) == (1, [2])
    read_only(backlog, False)
