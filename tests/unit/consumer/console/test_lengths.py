"""Lengths of time where a worker's clock went back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from jobstatus_consumer.console.pages.job import STRIP, strip_of
from jobstatus_consumer.console.rendering import precise
from jobstatus_consumer.operations import Stay


@pytest.mark.parametrize(("seconds", "shown"), [(-5.0, "0 ms"), (0.12, "120 ms"), (3.21, "3.2 s"), (250.0, "4m 10s")])
def test_no_length_is_below_zero(seconds: float, shown: str) -> None:
    assert precise(seconds) == shown


def test_the_strip_has_no_part_of_a_length_below_zero_or_outside() -> None:
    stays = [Stay("pending", 1, None, 50, 40), Stay("processing", 1, None, 40, 90), Stay("success", 1, None, 90, None)]
    facts: Any = SimpleNamespace(history=SimpleNamespace(items=()))
    parts = strip_of(stays, facts)
    assert [part.width for part in parts] == [0, STRIP, 0]
    assert all(0 <= part.left <= part.left + part.width <= STRIP for part in parts)
