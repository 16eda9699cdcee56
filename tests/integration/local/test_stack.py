"""Both servers at once. A killed parent leaves nothing of them behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from jobstatus_local.errors import LocalServerError
from jobstatus_local.kafka import LocalKafka
from jobstatus_local.postgres import LocalPostgres
from jobstatus_local.stack import local_stack
from support.processes import family, is_running, wait_until_gone

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

PARENT = """
import json, multiprocessing, time
import psycopg
from jobstatus_local.stack import local_stack

if __name__ == "__main__":
    with local_stack() as stack:
        busy = psycopg.connect(stack.postgres.url)
        busy.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 1e12)")
        # holds every file descriptor of ours, the pipes to the supervisors among them
        worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
        worker.start()
        supervisors = [stack.kafka.supervisor.pid, stack.postgres.supervisor.pid]
        servers = [stack.kafka.node(1).pid, stack.postgres.pid, *supervisors]
        folders = [str(stack.kafka.workdir), str(stack.postgres.workdir)]
        print(json.dumps([servers, worker.pid, folders]), flush=True)
        time.sleep(60)
"""


def test_nothing_is_left_when_the_parent_of_both_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        servers, worker, folders = json.loads(parent.stdout.readline())
        pids = {pid for server in servers for pid in family(server)}
        assert len(pids) > len(servers)  # the backends are among them
        assert all(map(is_running, pids))
        parent.kill()
        wait_until_gone(pids)
        assert [folder for folder in folders if Path(folder).exists()] == []
        os.kill(worker, signal.SIGKILL)


def test_one_that_does_not_start_stops_the_other(tmp_path: Path) -> None:
    kafka = LocalKafka(workdir=tmp_path / "kafka", java=Path("/bin/false"))
    postgres = LocalPostgres()
    with pytest.raises(LocalServerError, match="kafka-1"), local_stack(kafka, postgres):
        pytest.fail("it must not get here")
    assert postgres.pid is None
