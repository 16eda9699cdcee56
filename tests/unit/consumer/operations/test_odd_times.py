"""Times of records that no clock would give: shown, never fatal, and never stronger than the log's own order."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobstatus_consumer.operations.history import in_order
from jobstatus_consumer.operations.times import shown_ms
from jobstatus_consumer.records import RawRecord, Rejected


@pytest.mark.parametrize(
    ("milliseconds", "wanted"),
    [
        (-1, "-"),
        (0, "1970-01-01T00:00:00.000Z"),
        (-5, "1969-12-31T23:59:59.995Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        (253_402_300_800_000, "253402300800000 ms since 1970"),
        (1_767_268_800_000_000, "1767268800000000 ms since 1970"),
        (2**63 - 1, "9223372036854775807 ms since 1970"),
        (-(2**63), "-9223372036854775808 ms since 1970"),
    ],
)
def test_a_time_that_is_no_date_is_shown_as_its_number(milliseconds: int, wanted: str) -> None:
    assert shown_ms(milliseconds) == wanted


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_time_can_be_shown(milliseconds: int) -> None:
    assert shown_ms(milliseconds)


def records(*told: tuple[int, int, int]) -> list[Rejected]:
    """Records by partition, offset and time."""
    return [Rejected(RawRecord("t", p, n, ms, b"job", b"", (), f"t/id/{p}"), "decode", "x", "") for p, n, ms in told]


def order(found: list[Rejected]) -> list[tuple[int, int]]:
    return [(item.raw.partition, item.raw.offset) for item in in_order(found)]


def test_times_that_go_back_do_not_break_the_logs_order() -> None:
    assert order(records((0, 0, 96), (0, 1, 99), (0, 2, 98))) == [(0, 0), (0, 1), (0, 2)]
    assert order(records((0, 0, 96), (0, 1, -1), (0, 2, 98))) == [(0, 0), (0, 1), (0, 2)]


def test_two_partitions_are_merged_by_time() -> None:
    assert order(records((3, 7, 10), (3, 8, 20), (0, 0, 15), (0, 1, 30))) == [(3, 7), (0, 0), (3, 8), (0, 1)]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-1, 5)), max_size=20), st.randoms(use_true_random=False))
def test_within_a_partition_it_is_always_the_logs_order(told: list[tuple[int, int]], rng: random.Random) -> None:
    found = records(*((partition, offset, time) for offset, (partition, time) in enumerate(told)))
    rng.shuffle(found)
    ordered = order(found)
    for partition in range(3):
        offsets = [offset for number, offset in ordered if number == partition]
        assert offsets == sorted(offsets)
    assert len(ordered) == len(told)
