"""Spools that cannot be had, too many of them, and files that are taken away: no start fails and no event is lost."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from jobstatus_producer import ProducerSettings, SpoolError, spool, spool_folder
from jobstatus_producer.backlog import Backlog
from unit.producer.spools import entry, leave_behind

Open = Callable[..., Backlog]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def troubles() -> list[str]:
    return []


@pytest.fixture
def open_backlog(folder: Path, troubles: list[str]) -> Iterator[Open]:
    made: list[Backlog] = []

    def make(*, durable: bool = False) -> Backlog:
        settings = ProducerSettings(kafka={"bootstrap.servers": "127.0.0.1:1"}, spool_dir=folder, durable=durable)
        made.append(Backlog(settings, troubles.append))
        return made[-1]

    yield make
    for backlog in made:
        backlog.close()


def drained(backlog: Backlog) -> list[int]:
    """Everything that comes out, settled as it comes."""
    found = []
    while (chunk := backlog.first(10)).entries:
        found += [each.seq for each in chunk.entries]
        backlog.settle(chunk.entries, chunk.orphan)
    return found


def open_files() -> int:
    return psutil.Process().num_fds()


@pytest.mark.parametrize("suffix", [".lock", ".spool"])
def test_a_spool_that_cannot_be_opened_stops_no_start(
    folder: Path, open_backlog: Open, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A directory in its place is to every user what a file of another user is to most."""
    foreign = leave_behind(folder, [entry(1)])
    in_the_way = foreign.with_suffix(suffix)
    in_the_way.unlink()
    in_the_way.mkdir()
    leave_behind(folder, [entry(2)])
    before = open_files()
    backlog = open_backlog()
    assert drained(backlog) == [2]
    assert f"the spool {foreign} is left alone: " in caplog.text
    assert [info.trouble is None for info in spool_folder.inspect(folder) if info.path == foreign] == [False]
    assert backlog.close() == []
    assert open_files() == before


def test_a_start_that_fails_leaves_nothing_behind(
    folder: Path, open_backlog: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_folder: Path) -> list[Path]:
        raise MemoryError

    before = open_files()
    with monkeypatch.context() as patch:
        patch.setattr(spool_folder, "paths", fails)
        with pytest.raises(MemoryError):
            open_backlog()
    assert (os.listdir(folder), open_files()) == ([], before)


def test_a_file_that_cannot_be_made_leaves_no_part_of_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "_SCHEMA", "create table events (seq); no SQL")
    with pytest.raises(SpoolError, match="cannot write in"):
        spool_folder.open_own(folder, topic="job-status", durable=False)
    assert os.listdir(folder) == []


def test_of_many_spools_a_few_are_open_at_a_time_and_all_are_drained(
    folder: Path, open_backlog: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_folder, "OPEN_AT_A_TIME", 3)
    for number in range(20):
        leave_behind(folder, [entry(100 + number), entry(200 + number)])
    before = open_files()
    backlog = open_backlog()
    assert open_files() - before <= 4 * (3 + 1)
    assert (len(backlog), backlog.oldest(), backlog.newest()) == (40, 100, 219)
    assert sorted(drained(backlog)) == [*range(100, 120), *range(200, 220)]
    assert (len(backlog), len(spool_folder.paths(folder))) == (0, 1)


def test_a_resting_spool_that_another_process_takes_is_left_to_it(
    folder: Path, open_backlog: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_folder, "OPEN_AT_A_TIME", 1)
    for number in range(1, 4):
        leave_behind(folder, [entry(number)])
    first, second = open_backlog(), open_backlog()
    both = [*drained(first), *drained(second)]
    assert sorted(both) == [1, 2, 3]
    assert len(first) == len(second) == 0
