"""A missing part stops the whole session at once, with one message."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

CONFTEST = "from support.parts import pytest_runtest_logreport, pytest_runtest_makereport\n"
TESTS = """
import pytest
from jobstatus_local.errors import FetchError, LocalServerError
from jobstatus_local.server import LocalServer
from support.parts import started

class Unfetched(LocalServer):
    def start(self):
        raise FetchError("cannot fetch org.example:thing:1.0 from localhost: refused")

class Unstarted(Unfetched):
    def start(self):
        raise LocalServerError("initdb failed")

Unfetched.__abstractmethods__ = Unstarted.__abstractmethods__ = frozenset()

@pytest.fixture(scope="session")
def server():
    with started("a real thing", {kind}("thing", None)) as server:
        yield server

@pytest.mark.parametrize("number", range(100))
def test_it(server, number):
    pass
"""


@pytest.mark.parametrize(
    ("kind", "words", "workers"),
    [
        ("Unfetched", ["cannot fetch org.example:thing:1.0 from localhost: refused", "jgo.conf"], "2"),
        ("Unstarted", ["the tests need a real thing, and it did not start: initdb failed", "run the tests again"], "0"),
    ],
)
def test_a_part_that_is_missing_stops_the_session_with_one_message(
    tmp_path: Path, kind: str, words: list[str], workers: str
) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_many.py").write_text(TESTS.replace("{kind}", kind))
    (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {Path(__file__).parents[2]}\n")
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-n", workers, "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == pytest.ExitCode.INTERRUPTED, done.stdout + done.stderr
    for text in words:
        assert done.stdout.count(text) == 1, done.stdout
    assert len(done.stdout.splitlines()) < 20
