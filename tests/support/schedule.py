"""Which tests of a run stay together in one process of xdist, and which are given out one by one."""

from __future__ import annotations

from typing import Any

import pytest

TOGETHER = (
    "tests/chaos/",
    "tests/contract/",
    "tests/integration/cli/test_what_a_user_sees.py",
    "tests/integration/clients/",
    "tests/integration/demo/",
    "tests/integration/local/",
    "tests/integration/login/",
    "tests/integration/versions/",
    "tests/unit/",
)
"""Files whose tests share what a module fixture makes, and files of tests that are too quick to be given out singly."""
ONE_BROKER = (
    "tests/integration/console/test_unavailable.py::test_without_kafka",
    "tests/integration/faults/test_damaged_log.py",
    "tests/integration/faults/test_health.py::test_without_a_broker",
    "tests/integration/faults/test_lost_tail.py",
    "tests/integration/observability/test_alerts_live.py",
    "tests/integration/producer/test_broker_away.py",
    "tests/integration/producer/test_interrupted_calls.py",
)
"""They break a broker, which is started once for all of them."""
ONE_REGISTRY = ("tests/integration/registry/",)
"""They share a schema registry, which takes some seconds to start, and much memory."""
ONE_CONSOLE = ("tests/integration/console/",)
"""They share a console, its deployment and a browser."""
FIRST = (
    "tests/chaos/test_chaos.py",
    "tests/chaos/",
    *ONE_BROKER,
    *ONE_CONSOLE,
    *ONE_REGISTRY,
    "tests/integration/login/",
    "tests/integration/demo/",
    "tests/contract/test_packaging.py",
    "tests/integration/local/",
)
"""What takes longest, in this order. What is marked slow comes next."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A scheduler that gives a file of `TOGETHER` to one worker, and every other test to the first that is free."""
    from xdist.scheduler.loadscope import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            together = (
                ("chaos", ("tests/chaos/",)),
                ("broken broker", ONE_BROKER),
                ("console", ONE_CONSOLE),
                ("registry", ONE_REGISTRY),
            )
            for name, files in together:
                if nodeid.startswith(files):
                    return name
            return nodeid.split("::", 1)[0] if nodeid.startswith(TOGETHER) else nodeid

    return Scheduling(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no worker still has it when the others have finished.

    Tests marked long are left out, unless `--long` asks for them.
    """
    left_out = [] if config.getoption("--long") else [item for item in items if item.get_closest_marker("long")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    after = len(FIRST) if item.get_closest_marker("slow") else len(FIRST) + 1
    return next((place for place, start in enumerate(FIRST) if item.nodeid.startswith(start)), after)
