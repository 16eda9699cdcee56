"""Spools that cannot be had, too many of them, and files that are taken away: no start fails and no event is lost."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import psutil
import pytest
from jobstatus_producer import JobStatusProducer, ProducerSettings, SettingsError, SpoolError, UndeliveredError
from jobstatus_producer.delivery.backlog import Backlog
from jobstatus_producer.record import Record
from jobstatus_producer.spool import file as spool
from jobstatus_producer.spool import folder as spool_folder
from jobstatus_producer.spool.file import SpoolDamagedError, SpoolWriteError
from support.spools import entry, leave_behind

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
    while (chunk := backlog.first(10)).records:
        found += [each.seq for each in chunk.records]
        backlog.settle(chunk.records, chunk.taken_over)
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
    assert first.taken_over + second.taken_over == 3


def damage(path: Path) -> None:
    """As after a torn write: the file still says what it is, but its last page is none."""
    sqlite3.connect(path).close()
    with path.open("r+b") as file:
        file.seek(-4096, os.SEEK_END)
        file.write(b"\xff" * 4096)


def test_what_is_saved_of_two_damaged_spools_is_all_there_though_they_used_the_same_microseconds(
    folder: Path, open_backlog: Open, caplog: pytest.LogCaptureFixture
) -> None:
    saved: list[list[Record]] = []
    for job_id in ("one", "other"):
        path = leave_behind(folder, [entry(seq, job_id, "m" * 300) for seq in range(1, 101)])
        damage(path)
        saved.append(spool.salvage(path))
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


def test_what_is_saved_twice_is_there_once(folder: Path, open_backlog: Open) -> None:
    backlog = open_backlog()
    own = backlog._own
    assert own is not None
    own.take_in([entry(1), entry(2)])
    own.take_in([entry(2), entry(3), entry(2, "other")])
    assert [(each.seq, each.key) for each in backlog.first(10).records] == [
        (1, b"job"),
        (2, b"job"),
        (3, b"job"),
        (4, b"other"),
    ]
    assert (len(own), own.totals().span) == (4, (1, 4))
    backlog.settle(backlog.first(10).records, None)


def remove(folder: Path, what: str) -> None:
    """What a cleaner of old files may do."""
    if what == "folder":
        shutil.rmtree(folder)
    else:
        for path in folder.glob("*" if what == "files" else f"*{what}"):
            path.unlink()


REMOVED = ["folder", "files", ".spool", ".spool-wal", ".spool-shm", ".lock"]


@pytest.mark.parametrize("what", REMOVED)
@pytest.mark.parametrize("durable", [True, False])
def test_a_spool_that_is_removed_while_in_use_is_made_anew_with_all_it_held(
    folder: Path, open_backlog: Open, what: str, durable: bool, caplog: pytest.LogCaptureFixture
) -> None:
    backlog = open_backlog(durable=durable)
    assert backlog.accept([entry(1), entry(2), entry(3)], in_memory=False)
    backlog.settle([entry(1)], None)
    assert backlog.refuse(entry(2), "too large")
    remove(folder, what)
    assert backlog.accept([entry(4)], in_memory=False)
    assert (len(backlog), [each.seq for each in backlog.first(10).records]) == (2, [3, 4])
    assert caplog.text.count("was removed while in use") == 1
    assert backlog.close() == []
    (info,) = spool_folder.inspect(folder)
    assert (info.events, [kept.reason for kept in info.refused]) == (2, ["too large"])
    assert drained(open_backlog()) == [3, 4]


@pytest.mark.parametrize("what", REMOVED)
def test_a_spool_that_is_removed_is_made_anew_at_close(folder: Path, open_backlog: Open, what: str) -> None:
    left = leave_behind(folder, [entry(1)])
    backlog = open_backlog()
    assert backlog.accept([entry(2)], in_memory=False)
    remove(folder, what)
    assert backlog.close() == []
    assert sorted(drained(open_backlog())) == [1, 2]
    assert not left.exists()


@pytest.mark.parametrize("durable", [True, False])
def test_where_no_spool_can_be_made_anew_its_events_come_back_at_close(
    folder: Path, open_backlog: Open, durable: bool, troubles: list[str]
) -> None:
    leave_behind(folder, [entry(1)])
    backlog = open_backlog(durable=durable)
    assert backlog.accept([entry(2)], in_memory=True)
    shutil.rmtree(folder)
    folder.write_text("in the way")
    assert backlog.accept([entry(3)], in_memory=True) is not durable
    assert not backlog.spool_works
    assert "the spool was removed while in use, and cannot be made anew" in troubles[0]
    assert backlog.close() == [entry(seq) for seq in ([1, 2] if durable else [1, 2, 3])]


def test_the_events_of_a_spool_that_is_removed_are_in_the_next_one_or_in_the_error(folder: Path) -> None:
    settings = ProducerSettings(
        kafka={"bootstrap.servers": "127.0.0.1:1"}, spool_dir=folder, durable=True, close_seconds=0.1
    )
    jobs = JobStatusProducer(settings)
    jobs.update_job_status("job", "processing")
    shutil.rmtree(folder)
    jobs.update_job_status("job", "success")
    jobs.close()
    assert [info.events for info in spool_folder.inspect(folder)] == [2]
    again = JobStatusProducer(settings)
    # its files may come back while they are removed
    while not folder.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(IsADirectoryError):
            folder.write_text("in the way")
    with pytest.raises(UndeliveredError) as raised:
        again.close()
    assert [event.status for event in raised.value.events] == ["processing", "success"]


def fails(*_given: object, **_named: object) -> NoReturn:
    raise SpoolWriteError("disk I/O error")


def test_without_a_spool_that_cannot_be_read_the_others_and_memory_go_on(
    folder: Path, open_backlog: Open, troubles: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    backlog = open_backlog()
    assert backlog.accept([entry(1)], in_memory=True)
    own = backlog._own
    assert own is not None
    with monkeypatch.context() as patch:
        for name in ("first", "oldest", "newest"):
            patch.setattr(own, name, fails)
        assert backlog.first(10).records == []
        assert backlog.accept([entry(2)], in_memory=True)
        backlog.move_to_spool()
        assert backlog.in_memory == 1, "what cannot be read is written to no more"
        assert [each.seq for each in backlog.first(10).records] == [2]
        assert (len(backlog), backlog.oldest(), backlog.newest()) == (2, 1, 2)
        assert "a spool cannot be read, what is in it has to wait: disk I/O error" in troubles[0]
    assert drained(backlog) == [1, 2]
    backlog.move_to_spool()
    assert backlog.spool_works
    assert backlog.accept([entry(3)], in_memory=False)
    assert drained(backlog) == [3]


def test_a_durable_producer_accepts_nothing_while_its_spool_cannot_be_read(
    open_backlog: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    backlog = open_backlog(durable=True)
    own = backlog._own
    assert own is not None
    with monkeypatch.context() as patch:
        patch.setattr(own, "first", fails)
        assert backlog.first(10).records == []
        assert not backlog.accept([entry(1)], in_memory=True)
    assert backlog.first(10).records == []
    backlog.move_to_spool()
    assert backlog.accept([entry(2)], in_memory=True)
    assert drained(backlog) == [2]


def test_a_taken_over_spool_that_cannot_be_read_is_left_to_the_next_process(folder: Path, open_backlog: Open) -> None:
    leave_behind(folder, [entry(1)])
    backlog = open_backlog()
    assert backlog.accept([entry(2)], in_memory=False)
    backlog._taken_over[0].drop()
    assert (backlog.oldest(), backlog.newest()) == (1, 2)
    assert drained(backlog) == [2]
    assert drained(open_backlog()) == [1]


def test_a_damaged_spool_that_cannot_be_replaced_yet_is_replaced_later(
    folder: Path, open_backlog: Open, troubles: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    backlog = open_backlog()
    assert backlog.accept([entry(seq, message="m" * 300) for seq in range(1, 101)], in_memory=False)
    own = backlog._own
    assert own is not None
    own._database.execute("pragma wal_checkpoint(truncate)")
    own._database.execute("pragma shrink_memory")
    with own.path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)
    with monkeypatch.context() as patch:
        patch.setattr(spool_folder, "open_own", fails)
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
    folder: Path, open_backlog: Open, troubles: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    left = leave_behind(folder, [entry(seq, message="m" * 300) for seq in range(1, 101)])
    backlog = open_backlog()
    with monkeypatch.context() as patch:
        patch.setattr(spool, "salvage", fails)
        patch.setattr(backlog._taken_over[0], "first", damaged)
        assert backlog.accept([entry(200)], in_memory=False)
        assert drained(backlog) == [200]
    assert "the spool is damaged and cannot be replaced" in troubles[0]
    assert left.exists()
    assert len(drained(open_backlog())) == 100


def damaged(_count: int) -> NoReturn:
    raise SpoolDamagedError("database disk image is malformed")


def test_a_relative_folder_is_the_same_after_a_change_of_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "JOBSTATUS_SPOOL_DIR": "spool"}
    settings = ProducerSettings.from_env(environ)
    assert settings.spool_dir == tmp_path / "spool"
    jobs = JobStatusProducer(settings)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    jobs.close()
    assert os.listdir(tmp_path / "spool") == []
    with JobStatusProducer(settings):
        assert len(spool_folder.paths(tmp_path / "spool")) == 1
    assert os.listdir(elsewhere) == []


def test_a_relative_folder_in_a_directory_that_is_gone_is_said_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(SettingsError, match="JOBSTATUS_SPOOL_DIR: spool is relative to a folder that is gone"):
        ProducerSettings(kafka={"bootstrap.servers": "127.0.0.1:1"}, spool_dir=Path("spool"))


def test_the_how_to_clears_refused_events_and_nothing_else(tmp_path: Path, open_backlog: Open, folder: Path) -> None:
    how_to = Path(__file__).parents[4] / "docs" / "how-to" / "instrument-workers.md"
    (snippet,) = re.findall(
        r"^```python\n([^`]*delete from refused[^`]*)^```$", how_to.read_text("utf-8"), re.MULTILINE
    )
    dead = open_backlog()
    assert dead.accept([entry(1)], in_memory=False)
    assert dead.refuse(entry(2), "too large")
    assert dead.close() == []
    in_use = open_backlog()
    assert in_use.accept([entry(3)], in_memory=False)
    assert in_use.refuse(entry(4), "too large")
    subprocess.run([sys.executable, "-c", snippet], cwd=tmp_path, check=True, timeout=60)
    assert [info.refused for info in spool_folder.inspect(folder)] == [[], []]
    assert drained(in_use) == [1, 3]
    assert in_use.close() == []
    assert os.listdir(folder) == []
