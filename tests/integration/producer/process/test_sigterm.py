"""SIGTERM without more: the flush, then what the signal would have done; the application keeps its own handler."""

from __future__ import annotations

import signal
import textwrap
from pathlib import Path

import pytest
from integration.producer import scripts
from integration.producer.conftest import Environ
from integration.producer.reading import arrived
from jobstatus_local.kafka import LocalKafka
from jobstatus_producer.spool import folder as spool_folder

SERVE = """
jobs = JobStatusProducer.from_env()
for step in range(200):
    jobs.update_job_status("job", str(step))
print("ready", flush=True)
rest()
"""


def terminated(script: str, environ: dict[str, str]) -> tuple[int, str]:
    process = scripts.start(script, environ)
    assert scripts.read_line(process) == "ready"
    process.send_signal(signal.SIGTERM)
    code, out, err = scripts.end(process, 30)
    assert "Traceback" not in err
    return code, out


def test_sigterm_flushes_and_then_ends_the_process_as_it_would_have(
    kafka: LocalKafka, topic: str, environ: Environ
) -> None:
    code, _ = terminated(SERVE, environ(topic))
    assert code == -signal.SIGTERM
    assert arrived(kafka, topic) == {"job": [str(step) for step in range(200)]}


def test_every_producer_of_a_process_flushes_at_exit_and_on_sigterm(
    kafka: LocalKafka, topic: str, environ: Environ
) -> None:
    script = """
    producers = [JobStatusProducer.from_env() for _ in range(3)]
    for number, jobs in enumerate(producers):
        jobs.update_job_status(number, "ok")
    print("ready", flush=True)
    """
    code, _, err = scripts.run(script, environ(topic))
    assert (code, err) == (0, "")
    assert arrived(kafka, topic) == {"0": ["ok"], "1": ["ok"], "2": ["ok"]}
    code, _ = terminated(textwrap.dedent(script) + "rest()", environ(topic))
    assert code == -signal.SIGTERM
    assert arrived(kafka, topic) == {"0": ["ok", "ok"], "1": ["ok", "ok"], "2": ["ok", "ok"]}


@pytest.mark.parametrize("order", ["before", "after"])
def test_the_applications_own_sigterm_handler_is_called(
    kafka: LocalKafka, topic: str, environ: Environ, order: str
) -> None:
    install = "signal.signal(signal.SIGTERM, lambda number, frame: (os.write(1, b'mine'), sys.exit(7)))\n"
    code, out = terminated(
        install + SERVE if order == "before" else SERVE.replace("print", install + "print"), environ(topic)
    )
    assert (code, out) == (7, "mine")
    assert arrived(kafka, topic) == {"job": [str(step) for step in range(200)]}


def test_a_handler_that_goes_on_working_goes_on(kafka: LocalKafka, topic: str, environ: Environ) -> None:
    script = """
    stop = []
    signal.signal(signal.SIGTERM, lambda number, frame: stop.append(number))
    jobs = JobStatusProducer.from_env()
    jobs.update_job_status("job", "processing")
    print("ready", flush=True)
    while not stop:
        time.sleep(0.01)
    jobs.update_job_status("job", "stopped")
    """
    code, _ = terminated(script, environ(topic))
    assert code == 0
    assert arrived(kafka, topic) == {"job": ["processing", "stopped"]}


def test_sigterm_while_the_main_thread_is_in_the_middle_of_calls(
    kafka: LocalKafka, topic: str, environ: Environ
) -> None:
    script = """
    jobs = JobStatusProducer.from_env()
    print("ready", flush=True)
    step = 0
    while True:
        jobs.update_job_status("job", str(step))
        step += 1
        if step % 1000 == 0:
            time.sleep(0.02)
    """
    code, _ = terminated(script, environ(topic))
    assert code == -signal.SIGTERM
    steps = arrived(kafka, topic).get("job", [])
    assert steps == [str(step) for step in range(len(steps))]


def test_a_process_that_ignores_sigterm_still_ignores_it(topic: str, environ: Environ) -> None:
    code, out, err = scripts.run(
        """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with JobStatusProducer.from_env():
            os.kill(os.getpid(), signal.SIGTERM)
        print(signal.getsignal(signal.SIGTERM) is signal.SIG_IGN)
        """,
        environ(topic),
    )
    assert (code, out, err) == (0, "True\n", "")


def test_close_gives_the_signal_back(topic: str, environ: Environ) -> None:
    code, out, err = scripts.run(
        """
        def mine(number, frame): pass
        signal.signal(signal.SIGTERM, mine)
        with JobStatusProducer.from_env():
            print(signal.getsignal(signal.SIGTERM) is mine)
        print(signal.getsignal(signal.SIGTERM) is mine)
        """,
        environ(topic),
    )
    assert (code, out, err) == (0, "False\nTrue\n", "")


def test_a_producer_made_in_a_thread_leaves_signals_alone_and_says_so(topic: str, environ: Environ) -> None:
    code, out, err = scripts.run(
        """
        thread = threading.Thread(target=JobStatusProducer.from_env)
        thread.start()
        thread.join()
        print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
        """,
        environ(topic),
    )
    assert (code, out) == (0, "True\n")
    assert "made outside the main thread" in err
    assert len(err.splitlines()) == 1


def test_sigterm_without_a_broker_leaves_the_events_in_the_spool(tmp_path: Path) -> None:
    environ = {
        "JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "JOBSTATUS_SPOOL_DIR": str(tmp_path),
        "JOBSTATUS_CLOSE_SECONDS": "0.5",
    }
    code, _ = terminated(SERVE, environ)
    assert code == -signal.SIGTERM
    assert [info.events for info in spool_folder.inspect(tmp_path)] == [200]
