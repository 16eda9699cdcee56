"""Real parts that the tests need: the jars of Kafka, a running broker, a running database, wheels.

If one of them cannot be fetched or started, no further test can prove anything. So the first such failure stops the
whole session, also under xdist, with one message instead of hundreds of errors. The root conftest imports the hooks.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, TypeVar

import pytest
from jobstatus_local.errors import FetchError, LocalServerError
from jobstatus_local.jars import cache_folder, kafka_classpath
from jobstatus_local.server import LocalServer

EXIT_CODE = pytest.ExitCode.INTERRUPTED
"""Not the one of tests that failed: `make test` looks at those again, and a run without a part must stay red."""
INTEGRATION = Path(__file__).parents[1] / "integration"
IN_WORKER = "PYTEST_XDIST_WORKER"
SERVER = TypeVar("SERVER", bound=LocalServer)


class MissingPartError(Exception):
    """A part that the tests need is not there. The text names the part, what was tried, and what to do."""


@contextmanager
def started(part: str, server: SERVER) -> Iterator[SERVER]:
    """The server, running for the length of a `with`; raises `MissingPartError` if it does not start."""
    try:
        server.start()
    except FetchError:
        raise
    except LocalServerError as error:
        raise MissingPartError(
            f"the tests need {part}, and it did not start: {error}\nMend what the log says, then run the tests again."
        ) from error
    try:
        yield server
    finally:
        server.close()


def message_of(error: BaseException) -> str | None:
    """What to tell the person who runs the tests, if this error means that a part is missing; else None."""
    if isinstance(error, FetchError):
        return (
            f"the tests need Java archives (Apache Kafka, a schema registry), and could not fetch them: {error}\n"
            "Name a Maven repository that this machine reaches in ~/.config/jgo.conf, in its section [repositories], "
            f"or copy the archives into {cache_folder()}; then run the tests again."
        )
    return str(error) if isinstance(error, MissingPartError) else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Fetch every part before the tests are collected, if the whole suite is to run."""
    options = session.config.option
    whole = any(Path(arg).resolve() in (INTEGRATION, *INTEGRATION.parents) for arg in session.config.args)
    if whole and not (options.markexpr or options.keyword or IN_WORKER in os.environ):
        with stop_if_missing():
            _fetch_all()


def _fetch_all() -> None:
    # they raise this module's error
    from support import apicurio, chart, chromium, installed

    kafka_classpath()
    apicurio.program()
    for command in installed.PROGRAMS:
        installed.program(command)
    chromium.executable()
    chromium.axe()
    chart.tools()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note in the report of a test that a part is missing: a report also reaches the controller of xdist."""
    report = yield
    message = message_of(call.excinfo.value) if call.excinfo is not None else None
    if message is not None:
        report.missing_part = message  # type: ignore[attr-defined]
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Stop the session, in the process that prints its result."""
    message = getattr(report, "missing_part", None)
    if message is not None and IN_WORKER not in os.environ:
        _stop(message)


@contextmanager
def stop_if_missing() -> Iterator[None]:
    """Stop the session if a part turns out to be missing in the `with`."""
    try:
        yield
    except (FetchError, MissingPartError) as error:
        _stop(str(message_of(error)))


def _stop(message: str) -> NoReturn:
    pytest.exit(f"no test was run after this.\n{message}", returncode=EXIT_CODE)
