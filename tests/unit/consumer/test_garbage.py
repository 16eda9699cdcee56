"""The collector of cycles runs seldom while batches pass, and as before afterwards."""

from __future__ import annotations

import gc

from jobstatus_consumer.garbage import OBJECTS, few_collections


def test_cycles_are_looked_for_seldom_and_what_was_there_is_not_looked_at() -> None:
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    with few_collections():
        assert gc.get_threshold() == (OBJECTS, *before[1:])
        assert gc.get_freeze_count() > frozen
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


def test_blocks_may_overlap_and_end_in_any_order() -> None:
    before = gc.get_threshold()
    first, second = few_collections(), few_collections()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert gc.get_threshold()[0] == OBJECTS
    second.__exit__(None, None, None)
    assert gc.get_threshold() == before
