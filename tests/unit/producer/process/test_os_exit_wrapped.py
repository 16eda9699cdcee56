"""`os._exit` beside a package that replaces it, too."""

from __future__ import annotations

import os
from typing import Any

import pytest
from jobstatus_producer.process import os_exit
from jobstatus_producer.process.state import STATE


@pytest.fixture(autouse=True)
def this_process_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(STATE, "exiting_pid", None)


def test_a_package_that_has_wrapped_our_exit_is_called_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It wraps ours between two producers, and calls it."""
    calls: list[str] = []
    system: Any = os
    monkeypatch.setattr(os_exit, "flush_now", lambda: calls.append("flush"))
    monkeypatch.setattr(os, "_exit", lambda status: calls.append(f"real {status}"))
    os_exit.install()
    ours = system._exit

    def theirs(status: int) -> None:
        calls.append("theirs")
        ours(status)

    monkeypatch.setattr(os, "_exit", theirs)
    os_exit.install()
    system._exit(3)
    assert calls == ["flush", "theirs", "real 3"]
    os_exit.uninstall()
    assert system._exit is theirs
