"""A child that fails is reported with the end of its log. No child outlives the demo."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from jobstatus_demo.children import Child, wait_until
from jobstatus_demo.errors import DemoError
from support.processes import wait_until_gone

STARTS_A_CHILD = """
import os, sys, time
from pathlib import Path
from jobstatus_demo.children import Workers
from jobstatus_demo.worker import Assignment
todo = [Assignment("worker-01", "connections", "t", [], 0.0, 1.0, str(Path(sys.argv[1]) / "result"))]
workers = Workers(todo, {**os.environ, "JOBSTATUS_DATABASE_URL": "x"}, Path(sys.argv[1]))
workers.__enter__()
print(workers._children[0].pid, flush=True)
time.sleep(60)
"""


def test_a_child_that_ends_badly_is_an_error_with_the_end_of_its_log(tmp_path: Path) -> None:
    child = Child("jobstatus_demo.worker", ["/no/such/file"], os.environ, tmp_path / "log")
    with pytest.raises(DemoError, match="No such file"):
        wait_until("its end", 20.0, child.ended, lambda: None)
    child.end()


def test_what_does_not_come_is_said_with_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("waiting for the database\n")
    with pytest.raises(DemoError, match=r"lag 0: not within 0 s\n.*\n  waiting for the database"):
        wait_until("lag 0", 0.0, lambda: False, lambda: None, log)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_a_child_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", STARTS_A_CHILD, str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    wait_until_gone([pid])
