"""When an event counts as late, and that each has an id of its own."""

from __future__ import annotations

import os
import random
from uuid import RFC_4122, UUID

import pytest
from jobstatus_producer.record import new_event_id
from jobstatus_schemas import CODEC
from support.spools import entry

MADE = 1_700_000_000_000_000
SECOND = 1_000_000


@pytest.mark.parametrize(
    ("age", "late"),
    [(0, False), (5 * SECOND, False), (5 * SECOND + 1, True), (86_400 * SECOND, True), (-1, True), (-SECOND, True)],
)
def test_an_event_is_late_after_five_seconds_or_where_the_clock_cannot_be_trusted(age: int, late: bool) -> None:
    assert entry(MADE).is_late(MADE + age) is late


def test_an_entry_gives_its_event_back() -> None:
    event = entry(MADE, "job-17", "why").event(CODEC)
    assert (event.job_id, event.error_message, event.occurred_at) == ("job-17", "why", MADE)


def test_an_event_id_is_a_random_uuid() -> None:
    found = {new_event_id() for _ in range(1000)}
    assert len(found) == 1000
    parsed = [UUID(text) for text in found]
    assert all(str(uuid) in found and (uuid.version, uuid.variant) == (4, RFC_4122) for uuid in parsed)


def test_an_application_that_seeds_its_random_numbers_repeats_no_event_id() -> None:
    random.seed(1)
    before = new_event_id()
    random.seed(1)
    assert new_event_id() != before


def test_a_forked_child_repeats_no_event_id_of_its_parent() -> None:
    from_child, to_parent = os.pipe()
    child = os.fork()
    if not child:
        os.write(to_parent, new_event_id().encode())
        os._exit(0)
    os.close(to_parent)
    with open(from_child) as pipe:
        found = pipe.read()
    os.waitpid(child, 0)
    assert UUID(found) != UUID(new_event_id())
