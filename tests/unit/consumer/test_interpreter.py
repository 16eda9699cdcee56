"""In a process that stays cycles are looked for seldom and threads change often; afterwards all is as before."""

from __future__ import annotations

import gc
import sys

import pytest
from jobstatus_consumer.interpreter import OBJECTS, TURN, long_running


def test_cycles_are_looked_for_seldom_and_what_was_there_is_not_looked_at() -> None:
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    with long_running():
        assert gc.get_threshold() == (OBJECTS, *before[1:])
        assert gc.get_freeze_count() > frozen
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


def test_no_thread_keeps_the_interpreter_for_long() -> None:
    before = sys.getswitchinterval()
    with long_running():
        assert sys.getswitchinterval() == pytest.approx(TURN)
    assert sys.getswitchinterval() == before


def test_blocks_may_overlap_and_end_in_any_order() -> None:
    before, turn = gc.get_threshold(), sys.getswitchinterval()
    first, second = long_running(), long_running()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert gc.get_threshold()[0] == OBJECTS
    assert sys.getswitchinterval() == pytest.approx(TURN)
    second.__exit__(None, None, None)
    assert gc.get_threshold() == before
    assert sys.getswitchinterval() == turn
