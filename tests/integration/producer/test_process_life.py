"""Forks, signals and ends of real processes: what was accepted arrives, and the application's ways are its own."""

from __future__ import annotations

import signal
import sys
import textwrap
from pathlib import Path

import pytest
from integration.producer import scripts
from integration.producer.conftest import Environ
from integration.producer.reading import read_all, statuses_by_job
from jobstatus_local.kafka import LocalKafka
from jobstatus_producer.spool import folder as spool_folder


def arrived(kafka: LocalKafka, topic: str) -> dict[str, list[str]]:
    return statuses_by_job(read_all(kafka.bootstrap_servers, topic))


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
        jobs = JobStatusProducer.from_env()
        accepted = []
        def work():
            while True:
                jobs.update_job_status("daemon", str(len(accepted)))
                accepted.append(1)
        import atexit
        # runs after the producer's own at-exit, which was registered later
        atexit._clear()
        jobs.close()
        jobs = JobStatusProducer.from_env()
        from jobstatus_producer import lifecycle
        atexit.register(lambda: (print(len(accepted)), sys.stdout.flush()))
        atexit.register(lifecycle._end_all)
        threading.excepthook = lambda args: print(args.exc_type.__name__)
        threading.Thread(target=work, daemon=True).start()
        while len(accepted) < 50:
            time.sleep(0.01)
        """,
        environ(topic),
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
    script = LAST_WORDS + "import atexit; atexit.register(last_words); from jobstatus_producer import module\n"
    code, out, err = scripts.run(script + "module.default_producer()", environ(topic))
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


@pytest.mark.parametrize("leave", ["sys.exit(0)", "os._exit(jobs.flush())", "jobs.close(); os._exit(0)"])
def test_a_forked_child_has_a_producer_of_its_own(kafka: LocalKafka, topic: str, environ: Environ, leave: str) -> None:
    code, _, err = scripts.run(
        f"""
        jobs = JobStatusProducer.from_env()
        for step in range(20):
            jobs.update_job_status("parent", str(step))
        pids = []
        for child in range(3):
            pid = os.fork()
            if not pid:
                for step in range(20):
                    jobs.update_job_status(f"child-{{child}}", str(step))
                {leave}
            pids.append(pid)
        jobs.update_job_status("parent", "20")
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        assert codes == [0, 0, 0], codes
        """,
        environ(topic),
    )
    assert code == 0, err
    steps = [str(step) for step in range(20)]
    expected = {"parent": [*steps, "20"], **{f"child-{child}": steps for child in range(3)}}
    assert arrived(kafka, topic) == expected
    assert len(read_all(kafka.bootstrap_servers, topic)) == 81, "no event was sent by two processes"


def test_a_child_forked_in_the_middle_of_a_lookup_ends_and_what_it_reports_is_kept(
    kafka: LocalKafka, topic: str, environ: Environ, tmp_path: Path
) -> None:
    """With glibc some of these children cannot connect, ever: their parent looks up addresses all the time."""
    environment = environ(topic, SPOOL_DIR=tmp_path, CLOSE_SECONDS=2)
    code, _, err = scripts.run(
        """
        import socket
        jobs = JobStatusProducer.from_env()
        def look_up():
            while True:
                socket.getaddrinfo("127.0.0.1", None, flags=socket.AI_ADDRCONFIG)
        for _ in range(4):
            threading.Thread(target=look_up, daemon=True).start()
        pids = []
        for child in range(12):
            pid = os.fork()
            if not pid:
                jobs.update_job_status("child", str(child))
                sys.exit(0)
            pids.append(pid)
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        assert codes == [0] * 12, codes
        """,
        environment,
    )
    assert code == 0, err
    code, _, err = scripts.run("jobs = JobStatusProducer.from_env(); sys.exit(jobs.flush(30))", environment)
    assert code == 0, err
    assert sorted(map(int, arrived(kafka, topic)["child"])) == list(range(12))


def test_a_child_that_is_told_to_stop_as_soon_as_it_is_forked_ends(topic: str, environ: Environ) -> None:
    """As a pool does whose work is done before all of its children have begun."""
    code, _, err = scripts.run(
        """
        import random
        jobs = JobStatusProducer.from_env()
        ended = {}
        for child in range(100):
            pid = os.fork()
            if not pid:
                rest()
            told = time.perf_counter() + random.uniform(0, 0.003)
            while time.perf_counter() < told:
                pass
            os.kill(pid, signal.SIGTERM)
            ended[child] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert set(ended.values()) == {-signal.SIGTERM}, ended
        """,
        environ(topic),
    )
    assert code == 0, err


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_multiprocessing_deliver_before_they_end(
    kafka: LocalKafka, topic: str, environ: Environ, method: str, tmp_path: Path
) -> None:
    script = tmp_path / "prefork.py"
    script.write_text(
        f"""
import multiprocessing
from jobstatus_producer import update_job_status

def work(number):
    for step in range(10):
        update_job_status(number, str(step))

if __name__ == "__main__":
    update_job_status("parent", "before")
    context = multiprocessing.get_context({method!r})
    workers = [context.Process(target=work, args=(number,)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    update_job_status("parent", "after")
"""
    )
    code, _, err = scripts.run(f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')", environ(topic))
    assert code == 0, err
    steps = [str(step) for step in range(10)]
    assert arrived(kafka, topic) == {"parent": ["before", "after"], "0": steps, "1": steps, "2": steps}


def test_a_fork_while_other_threads_report(kafka: LocalKafka, topic: str, environ: Environ) -> None:
    """Whatever lock another thread holds at that moment, the child can report and end."""
    code, _, err = scripts.run(
        """
        jobs = JobStatusProducer.from_env()
        stop = threading.Event()
        def work():
            while not stop.is_set():
                jobs.update_job_status("parent", "x")
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads: thread.start()
        codes = []
        for child in range(10):
            pid = os.fork()
            if not pid:
                jobs.update_job_status("child", str(child), wait=True)
                os._exit(0)
            codes.append(os.waitpid(pid, 0)[1])
        stop.set()
        for thread in threads: thread.join()
        assert codes == [0] * 10, codes
        """,
        environ(topic),
    )
    assert code == 0, err
    assert arrived(kafka, topic)["child"] == [str(child) for child in range(10)]


def test_a_child_waits_for_no_lock_that_the_parents_threads_held(
    kafka: LocalKafka, topic: str, environ: Environ
) -> None:
    code, _, err = scripts.run(
        """
        from jobstatus_producer import clock, module, update_job_status
        jobs = JobStatusProducer.from_env()
        outbox = jobs._outbox
        locks = [clock.PROCESS_CLOCK._lock, module._locks[0], jobs._start_lock, outbox.lock, outbox.flight._lock]
        for lock in locks:
            lock.acquire()
        pid = os.fork()
        if not pid:
            jobs.update_job_status("child", "by its own", wait=True)
            update_job_status("child", "by the module")
            sys.exit(0)
        for lock in locks:
            lock.release()
        assert os.waitpid(pid, 0)[1] == 0
        """,
        environ(topic),
    )
    assert code == 0, err
    assert arrived(kafka, topic) == {"child": ["by its own", "by the module"]}


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


def test_sigterm_without_a_broker_leaves_the_events_in_the_spool(tmp_path: Path) -> None:
    environ = {
        "JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "JOBSTATUS_SPOOL_DIR": str(tmp_path),
        "JOBSTATUS_CLOSE_SECONDS": "0.5",
    }
    code, _ = terminated(SERVE, environ)
    assert code == -signal.SIGTERM
    assert [info.events for info in spool_folder.inspect(tmp_path)] == [200]


def test_the_end_without_a_broker_leaves_the_events_in_the_spool_or_raises_with_them(tmp_path: Path) -> None:
    environ = {"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "JOBSTATUS_CLOSE_SECONDS": "0.3"}
    script = "JobStatusProducer.from_env().update_job_status('job', 'ok')"
    _, _, err = scripts.run(script, environ)
    assert "UndeliveredError: not delivered before the producer was closed (" in err
    assert "): 1 event ('job' ok)" in err
    scripts.run(script, environ | {"JOBSTATUS_SPOOL_DIR": str(tmp_path)})
    assert [info.events for info in spool_folder.inspect(tmp_path)] == [1]


def test_a_clock_that_steps_back_puts_nothing_old_over_new(
    kafka: LocalKafka, topic: str, environ: Environ, tmp_path: Path
) -> None:
    steps = """
    from jobstatus_producer import clock
    real, back = time.time_ns, [-3_600_000_000_000 if AHEAD else 0]
    time.time_ns = clock.PROCESS_CLOCK._now_ns = lambda: real() - back[0]
    jobs = JobStatusProducer.from_env()
    for step in range(20):
        if step == 10:
            back[0] += 60_000_000_000
        jobs.update_job_status("job", f"{os.environ['RUN']}{step}")
    """
    nobody = {**environ(topic, SPOOL_DIR=tmp_path, CLOSE_SECONDS=0.2), "RUN": "ahead-"}
    nobody["JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS"] = "127.0.0.1:1"
    ahead, now = (steps.replace("AHEAD", word) for word in ("True", "False"))
    assert scripts.run(ahead, nobody)[0] == 0
    assert scripts.run(now, {**environ(topic, SPOOL_DIR=tmp_path), "RUN": "now-"})[0] == 0
    found = [record.event for record in read_all(kafka.bootstrap_servers, topic)]
    assert [event.status for event in found] == [f"{run}{step}" for run in ("ahead-", "now-") for step in range(20)]
    times = [event.occurred_at for event in found]
    assert times == sorted(set(times)), "they rise, over both processes and both steps"
