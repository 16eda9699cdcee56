"""A start in a folder with many spools, or with one that cannot be opened, works with what it can have."""

from __future__ import annotations

import os
from pathlib import Path
from types import CodeType

import pytest
from jobstatus_producer.spool import folder as spool_folder
from jobstatus_producer.spool.folder import OPEN_AT_A_TIME
from support.spools import entry, leave_behind, observed
from unit.producer.spool.conftest import OpenBacklog, drained, open_files


@pytest.mark.parametrize("suffix", [".lock", ".spool"])
def test_a_spool_that_cannot_be_opened_stops_no_start(
    folder: Path, open_backlog: OpenBacklog, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A directory in its place is to every user what a file that cannot be read is to most."""
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


def test_a_start_that_is_interrupted_leaves_nothing_behind(folder: Path, open_backlog: OpenBacklog) -> None:
    def interrupt(code: CodeType) -> None:
        if code is spool_folder.paths.__code__:
            raise KeyboardInterrupt

    before = open_files()
    with pytest.raises(KeyboardInterrupt), observed(interrupt):
        open_backlog()
    assert (os.listdir(folder), open_files()) == ([], before)


def test_of_many_spools_a_few_are_open_at_a_time_and_all_are_drained(folder: Path, open_backlog: OpenBacklog) -> None:
    count = OPEN_AT_A_TIME + 8
    for number in range(count):
        leave_behind(folder, [entry(100 + number), entry(200 + number)])
    before = open_files()
    backlog = open_backlog()
    assert open_files() - before <= 4 * (OPEN_AT_A_TIME + 1)
    assert (len(backlog), backlog.oldest(), backlog.newest()) == (2 * count, 100, 199 + count)
    assert sorted(drained(backlog)) == [*range(100, 100 + count), *range(200, 200 + count)]
    assert (len(backlog), len(spool_folder.paths(folder))) == (0, 1)


def test_a_released_spool_that_another_process_takes_is_left_to_it(folder: Path, open_backlog: OpenBacklog) -> None:
    count = OPEN_AT_A_TIME + 2
    for number in range(1, 1 + count):
        leave_behind(folder, [entry(number)])
    first, second = open_backlog(), open_backlog()
    both = [*drained(first), *drained(second)]
    assert sorted(both) == list(range(1, 1 + count))
    assert len(first) == len(second) == 0
    assert first.taken_over + second.taken_over == count
