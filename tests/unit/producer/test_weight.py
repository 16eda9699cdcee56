"""The package stays light: what its import pulls in, and what a long run keeps in memory."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tracemalloc

import pytest
from jobstatus_producer import BufferFullError, JobStatusProducer, UndeliveredError

HEAVY = ("click", "rich", "psycopg", "pydantic", "tenacity", "orjson", "prometheus_client", "jobstatus_consumer")
LAZY = (
    "jobstatus_local",
    "multiprocessing",
    "ctypes",
    "difflib",
    "http",
    "importlib.metadata",
    "importlib.resources",
    "pathlib",
    "tempfile",
    "xml",
)
"""`make bench ARGS=calls` has the time that the import takes, and its target."""


def modules_after(statement: str) -> set[str]:
    script = f"import json, sys\n{statement}\nprint(json.dumps(list(sys.modules)))"
    command = [sys.executable, "-W", "error", "-c", script]
    return set(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def test_the_import_needs_confluent_kafka_and_fastavro_and_nothing_else() -> None:
    bare = modules_after("")
    ours = modules_after("import jobstatus_producer")
    theirs = modules_after("import confluent_kafka, fastavro, sqlite3, logging, importlib.resources, uuid")
    assert ours.isdisjoint(HEAVY)
    assert {name.split(".")[0] for name in ours - bare - theirs} <= {
        "jobstatus_producer",
        "jobstatus_schemas",
        # the library of the compiled wheel
        "jobstatus__mypyc",
        *sys.stdlib_module_names,
    }


def test_the_import_does_not_load_what_few_need() -> None:
    theirs = modules_after("import confluent_kafka, fastavro")
    assert (modules_after("import jobstatus_producer") - theirs).isdisjoint(LAZY)


def test_memory_is_bounded_by_the_buffer_and_not_by_the_calls() -> None:
    """Thousands of calls, most of them refused for want of room, leave nothing behind but the buffer."""
    jobs = JobStatusProducer.from_env(
        {
            "JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
            "JOBSTATUS_MAX_PENDING_EVENTS": "100",
            "JOBSTATUS_MAX_BLOCK_SECONDS": "0",
        }
    )

    def call(times: int) -> None:
        for step in range(times):
            try:
                jobs.update_job_status("job", str(step))
            except BufferFullError:
                continue

    call(500)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    call(3000)
    # the errors and their frames are cycles, and when the collector comes is another matter
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    with pytest.raises(UndeliveredError):
        jobs.close(0)
    assert after - before < 200_000
