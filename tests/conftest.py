"""What holds for all tests."""

import signal

import pytest
from hypothesis import HealthCheck, settings
from support.parts import pytest_collection, pytest_runtest_logreport, pytest_runtest_makereport
from support.shared_broker import pytest_configure_node, pytest_sessionfinish

__all__ = [
    "pytest_collection",
    "pytest_configure_node",
    "pytest_runtest_logreport",
    "pytest_runtest_makereport",
    "pytest_sessionfinish",
]

# a slow machine is no reason to fail
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# a shell without job control starts a background job with SIGINT ignored, and every child would inherit that
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no worker still has one when the others have finished."""
    items.sort(key=lambda item: "tests/chaos/" not in item.nodeid)
