"""What holds for all tests."""

import signal

from hypothesis import HealthCheck, settings
from support.parts import pytest_collection, pytest_runtest_logreport, pytest_runtest_makereport
from support.schedule import pytest_collection_modifyitems, pytest_xdist_make_scheduler
from support.shared_broker import pytest_configure_node, pytest_sessionfinish

__all__ = [
    "pytest_collection",
    "pytest_collection_modifyitems",
    "pytest_configure_node",
    "pytest_runtest_logreport",
    "pytest_runtest_makereport",
    "pytest_sessionfinish",
    "pytest_xdist_make_scheduler",
]

# a slow machine is no reason to fail
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# a shell without job control starts a background job with SIGINT ignored, and every child would inherit that
signal.signal(signal.SIGINT, signal.default_int_handler)
