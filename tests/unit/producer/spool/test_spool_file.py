"""A spool file keeps entries in order, through crashes, and says what it cannot keep."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobstatus_producer import SpoolError
from jobstatus_producer.record import Record
from jobstatus_producer.spool import folder as spool_folder
from jobstatus_producer.spool.database import SpoolDamagedError, SpoolVersionError, SpoolWriteError, create
from jobstatus_producer.spool.file import SpoolFile
from jobstatus_producer.spool.lock import lock_of
from jobstatus_producer.spool.rows import ROW_BYTES
from support.spools import TOPIC, entry, execute, in_the_file, leave_behind, open_again


@pytest.fixture
def file(tmp_path: Path) -> Iterator[SpoolFile]:
    own = spool_folder.open_own(tmp_path, topic=TOPIC, durable=False)
    yield own
    own.release()


def test_entries_come_out_in_their_order_until_they_are_removed(file: SpoolFile) -> None:
    file.add([entry(3)])
    file.add([entry(1), entry(2)])
    assert [found.seq for found in file.first(2)] == [1, 2]
    file.remove([entry(1), entry(2)])
    assert [found.seq for found in file.first(10)] == [3]
    assert (len(file), file.oldest(), file.newest()) == (1, 3, 3)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 2**53), st.binary(min_size=1), st.binary(), st.none() | st.just("00-a")),
        unique_by=lambda row: row[0],
    )
)
def test_an_entry_comes_out_as_it_went_in(rows: list[tuple[int, bytes, bytes, str | None]]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        own = spool_folder.open_own(Path(folder), topic=TOPIC, durable=False)
        entries = [Record(*row) for row in rows]
        own.add(entries)
        assert own.first(1000) == sorted(entries)
        assert own.totals().bytes == sum(len(found.key) + len(found.value) + ROW_BYTES for found in entries)
        own.remove(entries)
        assert (len(own), own.totals().bytes) == (0, 0)
        own.close()
        assert os.listdir(folder) == []


def test_what_was_added_is_there_for_the_next_owner(tmp_path: Path) -> None:
    path = leave_behind(tmp_path, [entry(1), entry(2, message="why")])
    again = open_again(path)
    assert again.first(10) == [entry(1), entry(2, message="why")]
    again.remove(again.first(10))
    again.close()


def test_an_empty_spool_is_removed_at_close_and_one_that_holds_something_stays(tmp_path: Path) -> None:
    own = spool_folder.open_own(tmp_path, topic=TOPIC, durable=False)
    own.close()
    assert os.listdir(tmp_path) == []
    other = spool_folder.open_own(tmp_path, topic=TOPIC, durable=False)
    other.add([entry(1)])
    other.close()
    assert [path.name for path in spool_folder.paths(tmp_path)] == [other.path.name]


def test_a_refused_entry_is_kept_for_a_person_and_no_longer_sent(file: SpoolFile) -> None:
    file.add([entry(1), entry(2)])
    file.refuse(entry(1), "too large")
    file.refuse(entry(7), "never was in the spool")
    assert [found.seq for found in file.first(10)] == [2]
    assert [(found.record.seq, found.reason) for found in file.refused()] == [
        (1, "too large"),
        (7, "never was in the spool"),
    ]
    assert len(file) == 1


def test_a_spool_with_refused_entries_is_not_removed(tmp_path: Path) -> None:
    own = spool_folder.open_own(tmp_path, topic=TOPIC, durable=False)
    own.refuse(entry(1), "too large")
    own.close()
    assert own.path.exists()


def test_many_threads_share_a_spool(file: SpoolFile) -> None:
    def work(start: int) -> None:
        for seq in range(start, start + 50):
            file.add([entry(seq)])
            if seq % 2:
                file.remove([entry(seq)])

    threads = [threading.Thread(target=work, args=(1000 * number,)) for number in range(1, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(file) == len(file.first(1000)) == 125


def test_nothing_of_a_write_that_failed_is_there(file: SpoolFile) -> None:
    file.add([entry(1)])
    unwritable = Record(2, b"k", "a text with a lone surrogate", "\ud800")  # type: ignore[arg-type]
    with pytest.raises((SpoolWriteError, UnicodeEncodeError, TypeError)):
        file.add([entry(3), unwritable])
    assert [found.seq for found in file.first(10)] == [1]
    assert len(file) == 1


def test_what_cannot_be_deleted_does_not_come_out_again(file: SpoolFile) -> None:
    file.add([entry(1), entry(2)])
    execute(file.path, "create trigger t before delete on events begin select raise(abort, 'not now'); end")
    with pytest.raises(SpoolWriteError, match="not now"):
        file.remove([entry(1)])
    assert ([found.seq for found in file.first(10)], len(file)) == ([2], 1)
    assert in_the_file(file.path) == [1, 2]
    execute(file.path, "drop trigger t")
    file.remove([entry(2)])
    assert (file.first(10), len(file), in_the_file(file.path)) == ([], 0, [])


def test_a_row_whose_checksum_is_wrong_is_set_aside_and_the_others_go_on(tmp_path: Path) -> None:
    path = leave_behind(tmp_path, [entry(1), entry(2), entry(3)])
    execute(path, "update events set value = x'00' where seq = 2")
    again = open_again(path)
    assert [found.seq for found in again.first(10)] == [1, 3]
    assert [(found.record.seq, found.reason) for found in again.refused()] == [
        (2, "damaged in the spool: its checksum does not match")
    ]
    again.close_database()


def test_a_spool_of_a_newer_version_is_not_opened(tmp_path: Path) -> None:
    path = leave_behind(tmp_path, [entry(1)])
    execute(path, "pragma user_version=2")
    with pytest.raises(SpoolVersionError, match=r"written by a newer version \(layout 2, known here: 1\)"):
        open_again(path)


@pytest.mark.parametrize("content", [b"", b"\x00" * 5000, b"not a database at all" * 300])
def test_what_is_no_spool_is_said_to_be_damaged(tmp_path: Path, content: bytes) -> None:
    path = leave_behind(tmp_path, [entry(1)])
    path.write_bytes(content)
    with pytest.raises(SpoolDamagedError):
        open_again(path)


def test_one_owner_at_a_time(tmp_path: Path, file: SpoolFile) -> None:
    second = lock_of(file.path)
    assert not second.take()
    second.release()


def test_the_lock_of_a_file_that_was_removed_meanwhile_is_none(tmp_path: Path) -> None:
    path = leave_behind(tmp_path, [])
    late = lock_of(path)
    open_again(path).close()
    assert not late.take()
    late.release()


def test_what_is_saved_twice_is_there_once(file: SpoolFile) -> None:
    file.adopt([entry(1), entry(2)])
    file.adopt([entry(2), entry(3), entry(2, "other")])
    assert [(each.seq, each.key) for each in file.first(10)] == [(1, b"job"), (2, b"job"), (3, b"job"), (4, b"other")]
    assert (len(file), file.totals().span, file.adopted) == (4, (1, 4), {1, 2, 3, 4})


def test_a_spool_that_counts_wrong_is_not_removed_while_it_holds_something(file: SpoolFile) -> None:
    execute(file.path, "insert into events select 1, x'', x'', null, 0")
    assert len(file) == 0, "it does not know of what another process wrote"
    file.close()
    assert in_the_file(file.path) == [1]


def test_a_file_that_cannot_be_made_leaves_no_part_of_it(tmp_path: Path) -> None:
    create_file = partial(create, schema="create table events (seq); no SQL")
    with pytest.raises(SpoolError, match="cannot write in"):
        spool_folder.open_own(tmp_path, topic=TOPIC, durable=False, create_file=create_file)
    assert os.listdir(tmp_path) == []
