"""When a batch is full, and which offsets it covers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from jobstatus_consumer.records import LogRange, RawRecord, Rejected
from jobstatus_consumer.stream.batch import BatchBuilder


def rejected(partition: int, offset: int, size: int = 10) -> Rejected:
    raw = RawRecord("t", partition, offset, 0, b"", b"x" * size, (), f"t/id/{partition}")
    return Rejected(raw, "decode", "malformed", "")


def test_full_by_count() -> None:
    builder = BatchBuilder(2, 1000, 60)
    builder.add(rejected(0, 5), 5, 0)
    assert not builder.full(0)
    assert builder.room == 1
    builder.add(rejected(0, 6), 6, 0)
    assert builder.full(0)


def test_a_batch_in_a_hurry_is_due_at_once_unless_it_covers_nothing() -> None:
    builder = BatchBuilder(2, 1000, 60)
    builder.hurry()
    assert builder.due_in(0) is None
    builder.add(rejected(0, 5), 5, 0)
    assert builder.due_in(0) == 60
    builder.hurry()
    assert (builder.due_in(0), builder.full(0)) == (0, True)
    builder.take()
    builder.add(rejected(0, 6), 6, 0)
    assert not builder.full(0)


def test_full_by_bytes() -> None:
    builder = BatchBuilder(100, 1000, 60)
    builder.add(rejected(0, 5, 999), 5, 0)
    assert not builder.full(0)
    builder.add(rejected(0, 6, 1), 6, 0)
    assert builder.heavy
    assert builder.full(0)


def test_full_by_age_of_the_first_record() -> None:
    builder = BatchBuilder(100, 1000, 2)
    assert builder.due_in(7) is None
    builder.add(rejected(0, 5), 5, 10)
    builder.add(rejected(0, 6), 6, 11.5)
    assert builder.due_in(11.5) == 0.5
    assert not builder.full(11.99)
    assert builder.full(12)


def test_an_empty_batch_is_never_full() -> None:
    assert not BatchBuilder(1, 1, 0).full(1e9)


def test_gaps_belong_to_what_comes_after_them_and_markers_are_covered() -> None:
    builder = BatchBuilder(100, 1000, 2)
    builder.add(rejected(0, 7), 3, 0)
    builder.skip(LogRange("t", 0, "t/id/0", 8, 12), 0)
    builder.skip(LogRange("t", 1, "t/id/1", 0, 2), 0)
    batch = builder.take()
    assert list(batch.ranges) == [LogRange("t", 0, "t/id/0", 3, 12), LogRange("t", 1, "t/id/1", 0, 2)]
    assert builder.empty
    assert builder.due_in(5) is None


@given(st.lists(st.integers(0, 3), max_size=30), st.sets(st.integers(0, 3)))
def test_what_is_dropped_is_neither_written_nor_covered(partitions: list[int], gone: set[int]) -> None:
    builder = BatchBuilder(100, 10_000, 2)
    ends = dict.fromkeys(range(4), 0)
    for partition in partitions:
        builder.add(rejected(partition, ends[partition]), ends[partition], 0)
        ends[partition] += 1
    dropped = builder.drop(gone)
    batch = builder.take()
    assert dropped + len(batch.rejected) == len(partitions)
    assert {span.partition for span in batch.ranges} == set(partitions) - gone
    assert all(span.end == ends[span.partition] and span.start == 0 for span in batch.ranges)
    assert batch.without({0, 1, 2, 3}) is None
