"""A process ends by itself: what was accepted is delivered, spooled or raised, and what comes too late is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from integration.producer import scripts
from integration.producer.conftest import Environ
from integration.producer.reading import arrived
from jobstatus_local.kafka import LocalKafka
from jobstatus_producer.spool import folder as spool_folder


def test_a_script_that_just_ends_has_delivered(kafka: LocalKafka, topic: str, environ: Environ) -> None:
    code, _, err = scripts.run(
        """
        jobs = JobStatusProducer.from_env()
        for step in range(100):
            jobs.update_job_status("job", str(step))
        """,
        environ(topic),
    )
    assert (code, err) == (0, "")
    assert arrived(kafka, topic) == {"job": [str(step) for step in range(100)]}


def test_the_old_call_sites_change_one_import(kafka: LocalKafka, topic: str, environ: Environ) -> None:
    code, out, err = scripts.run(
        """
        from jobstatus_producer import update_job_status, batch_update_job_status
        from jobstatus_producer import flush_job_status_updates, get_batch_update_stats
        from uuid import UUID
        update_job_status("a", "processing")
        batch_update_job_status(17, "error", "why")
        update_job_status(job_id=UUID(int=1), status="error", error_message=None)
        assert flush_job_status_updates() == 0
        stats = get_batch_update_stats()
        print(type(stats).__name__, stats["accepted"], stats["delivered"])
        update_job_status("a", "success")
        """,
        environ(topic),
    )
    assert (code, out, err) == (0, "dict 3 3\n", "")
    assert arrived(kafka, topic) == {
        "a": ["processing", "success"],
        "17": ["error"],
        "00000000-0000-0000-0000-000000000001": ["error"],
    }


def test_an_exception_at_top_level_loses_nothing(kafka: LocalKafka, topic: str, environ: Environ) -> None:
    code, _, err = scripts.run(
        """
        jobs = JobStatusProducer.from_env()
        jobs.update_job_status("job", "error", "crash")
        raise RuntimeError("crash")
        """,
        environ(topic),
    )
    assert code == 1
    assert "RuntimeError: crash" in err
    assert arrived(kafka, topic) == {"job": ["error"]}


def test_daemon_threads_and_a_call_after_the_end(kafka: LocalKafka, topic: str, environ: Environ) -> None:
    """At interpreter shutdown a daemon thread may be anywhere: what it was told was accepted arrives."""
    code, out, err = scripts.run(
        """
        import atexit, sys, threading, time
        accepted = []
        # before the import of jobstatus_producer, and so called after the producers' turn at the end
        atexit.register(lambda: (print(len(accepted)), sys.stdout.flush()))
        from jobstatus_producer import JobStatusProducer
        jobs = JobStatusProducer.from_env()
        def work():
            while True:
                jobs.update_job_status("daemon", str(len(accepted)))
                accepted.append(1)
        threading.excepthook = lambda args: print(args.exc_type.__name__)
        threading.Thread(target=work, daemon=True).start()
        while len(accepted) < 50:
            time.sleep(0.01)
        """,
        environ(topic),
        prelude="",
    )
    assert code == 0, err
    closed, count = out.split()
    assert closed == "ProducerClosedError"
    assert arrived(kafka, topic) == {"daemon": [str(step) for step in range(int(count))]}


LAST_WORDS = """
def last_words():
    from jobstatus_producer import ProducerError, update_job_status
    try:
        update_job_status("worker-7", "stopped")
        print("accepted", flush=True)
    except ProducerError as error:
        print(f"raised {error}", flush=True)
"""


def test_a_first_report_in_an_atexit_handler_is_delivered_or_raised(
    kafka: LocalKafka, topic: str, environ: Environ
) -> None:
    """Registered after the import it has its turn before ours; since Python 3.12 no thread can be started by then."""
    code, out, _ = scripts.run(LAST_WORDS + "import atexit; atexit.register(last_words)", environ(topic))
    assert code == 0
    assert out == "accepted\n" or "a producer needs a thread of its own" in out
    assert arrived(kafka, topic) == ({"worker-7": ["stopped"]} if out == "accepted\n" else {})


def test_an_atexit_handler_may_report_to_the_producer_that_was_there(
    kafka: LocalKafka, topic: str, environ: Environ
) -> None:
    """Also where it was registered before the producer was made."""
    script = LAST_WORDS + "import atexit; atexit.register(last_words); from jobstatus_producer import functions\n"
    code, out, err = scripts.run(script + "functions.default_producer()", environ(topic))
    assert (code, out, err) == (0, "accepted\n", "")
    assert arrived(kafka, topic) == {"worker-7": ["stopped"]}


@pytest.mark.parametrize("before", ["", "import jobstatus_producer"])
def test_a_first_report_after_the_producers_turn_at_the_end_is_raised(
    kafka: LocalKafka, topic: str, environ: Environ, tmp_path: Path, before: str
) -> None:
    """The handler was registered before the import, or imports: nobody would end the producer that it makes."""
    script = f"import atexit, threading\n{LAST_WORDS}\natexit.register(last_words)\n{before}"
    environment = {"PATH": "/usr/bin:/bin", **environ(topic, SPOOL_DIR=tmp_path)}
    process = scripts.launch([sys.executable, "-W", "error", "-c", script], environment)
    code, out, err = scripts.end(process)
    assert (code, err) == (0, "")
    assert out.startswith("raised the process is at its end")
    assert "nothing was queued" in out
    assert arrived(kafka, topic) == {}
    assert list(tmp_path.iterdir()) == []


def test_in_a_running_event_loop_as_in_a_notebook(kafka: LocalKafka, topic: str, environ: Environ) -> None:
    """A notebook's cells run in the main thread with a loop running, and a cell may be run again."""
    code, _, err = scripts.run(
        """
        import asyncio, code
        shell = code.InteractiveInterpreter()
        cell = (
            "with __import__('jobstatus_producer').JobStatusProducer.from_env() as jobs:\\n"
            "    jobs.update_job_status('cell', 'sync', wait=True)\\n"
        )
        async def notebook():
            for _ in range(2):
                shell.runsource(cell, symbol="exec")
            async with JobStatusProducer.from_env() as jobs:
                await jobs.aupdate_job_status("cell", "async", wait=True)
        asyncio.run(notebook())
        """,
        environ(topic),
    )
    assert (code, err) == (0, "")
    assert arrived(kafka, topic) == {"cell": ["sync", "sync", "async"]}


def test_the_end_without_a_broker_leaves_the_events_in_the_spool_or_raises_with_them(tmp_path: Path) -> None:
    environ = {"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "JOBSTATUS_CLOSE_SECONDS": "0.3"}
    script = "JobStatusProducer.from_env().update_job_status('job', 'ok')"
    _, _, err = scripts.run(script, environ)
    assert "UndeliveredError: not delivered before the producer was closed (" in err
    assert "): 1 event ('job' ok)" in err
    scripts.run(script, environ | {"JOBSTATUS_SPOOL_DIR": str(tmp_path)})
    assert [info.events for info in spool_folder.inspect(tmp_path)] == [1]


def test_an_interrupt_in_the_flush_at_exit_names_or_spools_what_every_producer_held(tmp_path: Path) -> None:
    script = """
        first, second = JobStatusProducer.from_env(), JobStatusProducer.from_env()
        first.update_job_status("first", "s")
        second.update_job_status("second", "s")
        def tell():
            time.sleep(1)
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=tell, daemon=True).start()
    """
    environ = scripts.NOBODY | {"JOBSTATUS_CLOSE_SECONDS": "50"}
    _, _, err = scripts.run(script, environ)
    assert "KeyboardInterrupt" in err
    assert "1 event ('first' s)" in err
    assert "1 event ('second' s)" in err
