"""A spool that cannot be read, or is damaged while in use: the others go on, and what can be read goes on with them."""

from __future__ import annotations

from pathlib import Path

import pytest
from jobstatus_producer.spool import folder as spool_folder
from jobstatus_producer.spool.salvage import salvage
from support.spools import damage, entry, leave_behind, no_new_files, unreadable
from unit.producer.spool.conftest import OpenBacklog, drained


def path_of_own(folder: Path) -> Path:
    """The one spool in the folder."""
    (path,) = spool_folder.paths(folder)
    return path


def test_without_a_spool_that_cannot_be_read_the_others_and_memory_go_on(
    folder: Path, open_backlog: OpenBacklog, troubles: list[str]
) -> None:
    backlog = open_backlog()
    assert backlog.accept([entry(1)], in_memory=True)
    with unreadable(path_of_own(folder)):
        assert backlog.first(10).records == []
        assert backlog.accept([entry(2)], in_memory=True)
        backlog.move_to_spool()
        assert backlog.in_memory == 1, "what cannot be read is written to no more"
        assert [each.seq for each in backlog.first(10).records] == [2]
        assert (len(backlog), backlog.oldest(), backlog.newest()) == (2, 1, 2)
        assert "a spool cannot be read, what is in it has to wait: " in troubles[0]
    assert drained(backlog) == [1, 2]
    backlog.move_to_spool()
    assert backlog.spool_works
    assert backlog.accept([entry(3)], in_memory=False)
    assert drained(backlog) == [3]


def test_a_durable_producer_accepts_nothing_while_its_spool_cannot_be_read(
    folder: Path, open_backlog: OpenBacklog
) -> None:
    backlog = open_backlog(durable=True)
    with unreadable(path_of_own(folder)):
        assert backlog.first(10).records == []
        assert not backlog.accept([entry(1)], in_memory=True)
    assert backlog.first(10).records == []
    backlog.move_to_spool()
    assert backlog.accept([entry(2)], in_memory=True)
    assert drained(backlog) == [2]


def test_a_taken_over_spool_that_cannot_be_read_is_left_to_the_next_process(
    folder: Path, open_backlog: OpenBacklog
) -> None:
    left = leave_behind(folder, [entry(1)])
    backlog = open_backlog()
    assert backlog.accept([entry(2)], in_memory=False)
    with unreadable(left):
        assert (backlog.oldest(), backlog.newest()) == (1, 2)
        assert drained(backlog) == [2]
    assert drained(open_backlog()) == [1]


def test_a_damaged_spool_that_cannot_be_replaced_yet_is_replaced_later(
    folder: Path, open_backlog: OpenBacklog, troubles: list[str]
) -> None:
    backlog = open_backlog()
    assert backlog.accept([entry(seq, message="m" * 300) for seq in range(1, 101)], in_memory=False)
    damage(path_of_own(folder), page=2)
    with no_new_files():
        assert backlog.first(1000).records == []
        assert backlog.accept([entry(200)], in_memory=True)
        assert [each.seq for each in backlog.first(1000).records] == [200]
        assert "the spool is damaged and cannot be replaced" in troubles[0]
    drained(backlog)
    backlog.move_to_spool()
    assert backlog.accept([entry(300)], in_memory=False)
    assert drained(backlog) == [300]
    assert len(spool_folder.damaged(folder)) == 1


def test_what_cannot_be_saved_now_is_left_to_the_next_process(
    folder: Path, open_backlog: OpenBacklog, troubles: list[str]
) -> None:
    left = leave_behind(folder, [entry(seq, message="m" * 300) for seq in range(1, 101)])
    backlog = open_backlog()
    damage(left, page=4)
    saved = salvage(left)
    in_the_way = left.with_suffix(".salvage")
    in_the_way.mkdir()
    assert backlog.accept([entry(200)], in_memory=False)
    assert drained(backlog) == [200]
    assert "the spool is damaged and cannot be replaced" in troubles[0]
    assert left.exists()
    in_the_way.rmdir()
    assert drained(open_backlog()) == [record.seq for record in saved]
    assert 50 < len(saved) < 100


def test_what_is_saved_of_two_damaged_spools_is_all_there_though_they_used_the_same_microseconds(
    folder: Path, open_backlog: OpenBacklog, caplog: pytest.LogCaptureFixture
) -> None:
    saved = []
    for job_id in ("one", "other"):
        path = leave_behind(folder, [entry(seq, job_id, "m" * 300) for seq in range(1, 101)])
        damage(path, page=-1)
        saved.append(salvage(path))
    backlog = open_backlog()
    found = backlog.first(1000)
    assert caplog.text.count("a spool is damaged") == 2
    assert min(map(len, saved)) > 10
    assert len(found.records) == len(backlog) == sum(map(len, saved))
    assert {each.value for each in found.records} == {each.value for part in saved for each in part}
    assert [each.seq for each in found.records] == sorted({each.seq for each in found.records})
    assert all(found.is_late(each, each.seq) for each in found.records), "a copy of each may be in the log"
    backlog.settle(found.records, None)
    assert len(backlog) == 0
