"""A W3C traceparent goes on if it is well formed, and is left out if not."""

from __future__ import annotations

import pytest
from jobstatus_producer.traceparent import valid

GOOD = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize("text", [GOOD, GOOD.replace("00-", "cc-", 1) + "-more"])
def test_a_well_formed_one_goes_on(text: str) -> None:
    assert valid(text) == text


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "garbage",
        GOOD.upper(),
        GOOD[:-1],
        "ff" + GOOD[2:],
        GOOD.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
        GOOD.replace("b7ad6b7169203331", "0" * 16),
        GOOD + "\r\nX: y",
        GOOD + "-" + "x" * 600,
        GOOD + "-\udcff",
        GOOD + "-é",
        GOOD.encode(),
        17,
    ],
)
def test_any_other_is_left_out(text: object) -> None:
    assert valid(text) is None
