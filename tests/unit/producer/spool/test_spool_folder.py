"""The folder of spools: what dead processes left is taken over, by one, and nothing damaged is thrown away."""

from __future__ import annotations

import fcntl
import logging
import os
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from jobstatus_producer import SpoolError
from jobstatus_producer.spool import folder as spool_folder
from jobstatus_producer.spool.file import SpoolFile
from jobstatus_producer.spool.lock import FileLock, lock_of
from support.spools import TOPIC, entry, execute, leave_behind


@pytest.fixture
def own(tmp_path: Path) -> Iterator[SpoolFile]:
    file = spool_folder.open_own(tmp_path, topic=TOPIC, durable=False)
    yield file
    file.release()


def taken(folder: Path, own: SpoolFile) -> list[SpoolFile]:
    return spool_folder.take_over(folder, own, topic=TOPIC, durable=False)


def end(files: list[SpoolFile]) -> None:
    for file in files:
        file.release()


def test_what_a_dead_process_left_is_taken_over_by_exactly_one(tmp_path: Path, own: SpoolFile) -> None:
    leave_behind(tmp_path, [entry(1), entry(2)])
    found = taken(tmp_path, own)
    assert [[found.seq for found in file.first(10)] for file in found] == [[1, 2]]
    assert taken(tmp_path, own) == []
    end(found)


def test_a_spool_in_use_is_left_alone(tmp_path: Path, own: SpoolFile) -> None:
    other = spool_folder.open_own(tmp_path, topic=TOPIC, durable=False)
    other.add([entry(1)])
    assert taken(tmp_path, own) == []
    end([other])


@pytest.mark.parametrize("other", ["other", "job-status2", "job-status.other", "x" * 200])
def test_one_of_another_topic_is_left_for_a_producer_of_that_topic(tmp_path: Path, own: SpoolFile, other: str) -> None:
    path = leave_behind(tmp_path, [entry(1)], other)
    assert taken(tmp_path, own) == []
    assert path.exists()
    theirs = spool_folder.open_own(tmp_path, topic=other, durable=False)
    found = spool_folder.take_over(tmp_path, theirs, topic=other, durable=False)
    assert [file.path for file in found] == [path]
    end([theirs, *found])


def test_an_empty_one_is_cleared_away(tmp_path: Path, own: SpoolFile) -> None:
    path = leave_behind(tmp_path, [])
    assert taken(tmp_path, own) == []
    assert not path.exists()
    assert sorted(os.listdir(tmp_path)) == sorted(
        name for name in os.listdir(tmp_path) if name.startswith(own.path.stem)
    )


def test_one_of_a_newer_version_is_left_alone_and_said_so(
    tmp_path: Path, own: SpoolFile, caplog: pytest.LogCaptureFixture
) -> None:
    path = leave_behind(tmp_path, [entry(1)])
    execute(path, "pragma user_version=9")
    before = path.read_bytes()
    assert taken(tmp_path, own) == []
    assert path.read_bytes() == before
    assert "written by a newer version" in caplog.text


@pytest.mark.parametrize("damage", ["truncated", "emptied", "garbage", "random bytes"])
def test_of_a_damaged_one_the_readable_part_is_saved_and_the_file_is_kept(
    tmp_path: Path, own: SpoolFile, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = leave_behind(tmp_path, [entry(seq, message="m" * 300) for seq in range(1, 201)])
    sqlite3.connect(path).close()
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        content = content[: len(content) // 2]
    elif damage == "emptied":
        content.clear()
    elif damage == "garbage":
        content[:] = random.Random(1).randbytes(len(content))
    else:
        content[40_000:44_096] = random.Random(1).randbytes(4096)
    path.write_bytes(content)
    assert taken(tmp_path, own) == []
    saved = own.first(1000)
    assert saved == [entry(found.seq, message="m" * 300) for found in saved]
    assert len(saved) > (20 if damage in ("truncated", "random bytes") else -1)
    (kept,) = spool_folder.damaged(tmp_path)
    assert kept.read_bytes() == bytes(content)
    assert f"{len(saved)} events of it are saved" in caplog.text
    assert caplog.records[-1].levelno == logging.ERROR
    assert not path.exists()


def test_a_folder_that_cannot_be_made_is_said_at_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SpoolError, match=r"JOBSTATUS_SPOOL_DIR: .*file/spool cannot be used: Not a directory"):
        spool_folder.open_own(tmp_path / "file" / "spool", topic=TOPIC, durable=False)


def test_the_folder_and_its_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    file = spool_folder.open_own(tmp_path / "a" / "spool", topic=TOPIC, durable=False)
    file.add([entry(1)])
    assert oct((tmp_path / "a" / "spool").stat().st_mode)[-3:] == "700"
    assert {oct(path.stat().st_mode)[-3:] for path in (tmp_path / "a" / "spool").iterdir()} == {"600"}
    end([file])


def test_inspecting_changes_nothing(tmp_path: Path, own: SpoolFile) -> None:
    left = leave_behind(tmp_path, [entry(5), entry(6)])
    empty = leave_behind(tmp_path, [])
    leave_behind(tmp_path, []).write_bytes(b"garbage" * 1000)
    own.refuse(entry(3), "too large")
    found = {info.path: info for info in spool_folder.inspect(tmp_path)}
    assert (found[left].in_use, found[left].events, found[left].oldest) == (False, 2, 5)
    assert (found[own.path].in_use, found[own.path].events) == (True, 0)
    assert [refused.reason for refused in found[own.path].refused] == ["too large"]
    assert [info.trouble is None for info in found.values()].count(False) == 1
    assert left.exists()
    assert empty.exists()


def test_who_looks_at_a_spool_holds_its_lock_no_longer_than_that(tmp_path: Path) -> None:
    path = leave_behind(tmp_path, [entry(1)])
    free: list[bool] = []

    def opened(of: Path, lock: FileLock) -> SpoolFile:
        other = lock_of(path)
        free.append(other.take())
        other.release()
        return SpoolFile(of, lock)

    (info,) = spool_folder.inspect(tmp_path, open_file=opened)
    assert (info.in_use, info.events, info.trouble) == (False, 1, None)
    assert free == [True]


def test_a_spool_that_somebody_looks_at_is_taken_over_all_the_same(tmp_path: Path, own: SpoolFile) -> None:
    path = leave_behind(tmp_path, [entry(1)])
    looking = os.open(path.with_suffix(".lock"), os.O_RDWR)
    fcntl.flock(looking, fcntl.LOCK_SH)
    found = spool_folder.take(path, own, durable=False, sleep=lambda _seconds: os.close(looking))
    assert found is not None
    assert found.path == path
    end([found])
