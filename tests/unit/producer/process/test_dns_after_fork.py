"""A forked process finds out whether it can look up addresses, and says so if it cannot."""

from __future__ import annotations

import threading

import pytest
from jobstatus_producer.process.dns_after_fork import LookupCheck


@pytest.mark.parametrize("stuck", [True, False])
def test_a_forked_process_that_can_look_up_no_address_says_so(stuck: bool, caplog: pytest.LogCaptureFixture) -> None:
    answer = threading.Event()
    check = LookupCheck(answer.wait if stuck else lambda: None, seconds=0.05 if stuck else 60)
    check.after_fork()
    check.run()
    check.run()
    answer.set()
    assert [line.split(":")[0] for line in caplog.messages] == ["this process cannot connect to a broker"] * 2 * stuck


def test_what_a_check_has_shown_holds_until_the_next_fork() -> None:
    lookups: list[int] = []
    check = LookupCheck(lambda: lookups.append(1), seconds=60)
    check.run()
    assert lookups == [], "a process that was not forked has nothing to show"
    for _ in range(2):
        check.after_fork()
        check.run()
        check.run()
    assert lookups == [1, 1]
