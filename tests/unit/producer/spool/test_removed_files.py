"""The files of a spool are removed while it is in use, as by a cleaner of old files: what it holds is not lost."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from jobstatus_producer import JobStatusProducer, ProducerSettings, UndeliveredError
from jobstatus_producer.spool import folder as spool_folder
from support.spools import entry, leave_behind
from unit.producer.spool.conftest import OpenBacklog, drained


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
    folder: Path, open_backlog: OpenBacklog, what: str, durable: bool, caplog: pytest.LogCaptureFixture
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
def test_a_spool_that_is_removed_is_made_anew_at_close(folder: Path, open_backlog: OpenBacklog, what: str) -> None:
    left = leave_behind(folder, [entry(1)])
    backlog = open_backlog()
    assert backlog.accept([entry(2)], in_memory=False)
    remove(folder, what)
    assert backlog.close() == []
    assert sorted(drained(open_backlog())) == [1, 2]
    assert not left.exists()


@pytest.mark.parametrize("durable", [True, False])
def test_where_no_spool_can_be_made_anew_its_events_come_back_at_close(
    folder: Path, open_backlog: OpenBacklog, durable: bool, troubles: list[str]
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


def remove_folder(folder: Path) -> None:
    """The producer's thread may make a file anew while they are removed."""
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=True)


def test_the_events_of_a_spool_that_is_removed_are_in_the_next_one_or_in_the_error(folder: Path) -> None:
    settings = ProducerSettings(
        kafka={"bootstrap.servers": "127.0.0.1:1"}, spool_dir=folder, durable=True, close_seconds=0.1
    )
    jobs = JobStatusProducer(settings)
    jobs.update_job_status("job", "processing")
    remove_folder(folder)
    jobs.update_job_status("job", "success")
    jobs.close()
    assert [info.events for info in spool_folder.inspect(folder)] == [2]
    again = JobStatusProducer(settings)
    while not folder.is_file():
        remove_folder(folder)
        with suppress(IsADirectoryError):
            folder.write_text("in the way")
    with pytest.raises(UndeliveredError) as raised:
        again.close()
    assert [event.status for event in raised.value.events] == ["processing", "success"]
