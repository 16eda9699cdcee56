"""What holds for all tests."""

import signal
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from jobstatus_schemas import masking
from support.collector import pytest_collection_finish, pytest_sessionstart
from support.parts import pytest_collection, pytest_runtest_logreport, pytest_runtest_makereport
from support.schedule import pytest_collection_modifyitems, pytest_xdist_make_scheduler
from support.shared_broker import pytest_configure_node, pytest_sessionfinish

__all__ = [
    "pytest_collection",
    "pytest_collection_finish",
    "pytest_collection_modifyitems",
    "pytest_configure_node",
    "pytest_runtest_logreport",
    "pytest_runtest_makereport",
    "pytest_sessionfinish",
    "pytest_sessionstart",
    "pytest_xdist_make_scheduler",
]

# a slow machine is no reason to fail
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# a shell without job control starts a background job with SIGINT ignored, and every child would inherit that
signal.signal(signal.SIGINT, signal.default_int_handler)

THREADS_END_WITHIN = 30.0


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also run the tests marked long, which take minutes")


@pytest.fixture(autouse=True)
def no_thread_of_ours_is_left() -> Iterator[None]:
    """A client that a test leaves open works on beside later tests: it logs, and it draws random numbers."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + THREADS_END_WITHIN
    left = [item for item in threading.enumerate() if item not in before and item.name.startswith("jobstatus-")]
    for thread in left:
        thread.join(max(0.0, deadline - time.monotonic()))
    assert not [thread.name for thread in left if thread.is_alive()]


@pytest.fixture(autouse=True)
def secrets_are_forgotten() -> Iterator[None]:
    """What a process was given as a secret is masked in all that it says, also in what a later test looks for."""
    known, tokens = set(masking._KNOWN), list(masking._TOKENS)
    yield
    masking._KNOWN.intersection_update(known)
    masking._TOKENS.clear()
    masking._TOKENS.extend(tokens)
