"""Signals in the middle of forks, of the first call, of a call's end and of the end: nobody hangs, nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from integration.producer import scripts
from integration.producer.conftest import Environ
from integration.producer.reading import read_all, statuses_by_job
from integration.producer.test_commands import NOBODY
from jobstatus_local.kafka import LocalKafka


def test_a_signal_in_the_middle_of_a_fork_ends_the_process_as_the_application_wants() -> None:
    code, _, err = scripts.run(
        """
        class Told(Exception): pass
        def told(*_): raise Told
        signal.signal(signal.SIGTERM, told)
        import random
        jobs = JobStatusProducer.from_env()
        for round in range(150):
            told_at = time.monotonic() + random.uniform(0, 0.004)
            def tell():
                while time.monotonic() < told_at: pass
                os.kill(os.getpid(), signal.SIGTERM)
            teller = threading.Thread(target=tell)
            try:
                teller.start()
                while time.monotonic() < told_at + 20:
                    pid = os.fork()
                    if not pid: os._exit(0)
                    os.waitpid(pid, 0)
                raise SystemExit("the signal went nowhere")
            except Told:
                pass
            teller.join()
        """,
        NOBODY,
    )
    assert code == 0, err
    assert "Exception ignored" not in err


def test_a_fork_in_a_handler_in_the_middle_of_a_fork_leaves_the_mask_as_it_was() -> None:
    code, _, err = scripts.run(
        """
        import random
        jobs = JobStatusProducer.from_env()
        def blocked(): return signal.pthread_sigmask(signal.SIG_BLOCK, [])
        def fork(*_):
            pid = os.fork()
            if not pid: os._exit(len(blocked()))
            assert os.waitpid(pid, 0)[1] == 0, "blocked in a child"
        signal.signal(signal.SIGALRM, fork)
        for round in range(200):
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, .0015))
            fork()
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert not blocked(), "blocked in the parent"
        """,
        NOBODY,
    )
    assert code == 0, err


def test_a_fork_while_other_threads_write_to_the_spool(
    kafka: LocalKafka, topic: str, environ: Environ, tmp_path: Path
) -> None:
    code, _, err = scripts.run(
        """
        jobs = JobStatusProducer.from_env()
        stop = threading.Event()
        def work():
            while not stop.is_set(): jobs.update_job_status("parent", "x")
        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads: thread.start()
        codes = []
        for child in range(40):
            pid = os.fork()
            if not pid:
                jobs.update_job_status("child", str(child))
                jobs.close()
                os._exit(0)
            codes.append(os.waitpid(pid, 0)[1])
        stop.set()
        for thread in threads: thread.join()
        assert codes == [0] * 40, codes
        """,
        environ(topic, SPOOL_DIR=tmp_path, DURABLE=True),
    )
    assert code == 0, err
    assert statuses_by_job(read_all(kafka.bootstrap_servers, topic))["child"] == [str(child) for child in range(40)]


def test_a_handler_sees_a_second_signal_while_it_handles_the_first() -> None:
    code, _, err = scripts.run(
        """
        seen = []
        def handler(*_):
            seen.append(1)
            if len(seen) == 2: os._exit(3)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(30)
        signal.signal(signal.SIGTERM, handler)
        jobs = JobStatusProducer.from_env()
        os.kill(os.getpid(), signal.SIGTERM)
        """,
        NOBODY,
    )
    assert code == 3, err


def test_a_handler_that_raises_anywhere_in_a_call_keeps_no_later_one_aside() -> None:
    code, out, err = scripts.run(
        """
        import random
        from jobstatus_producer import UndeliveredError
        class Late(Exception): pass
        def late(*_): raise Late
        signal.signal(signal.SIGALRM, late)
        jobs = JobStatusProducer.from_env()
        for round in range(400):
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(.0005, .002))
                for step in range(10_000): jobs.update_job_status("j", "s")
            except Late:
                pass
            signal.setitimer(signal.ITIMER_REAL, 0)
            before = jobs.stats().accepted
            jobs.update_job_status("after", "s")
            assert jobs.stats().accepted >= before + 1, round
        try: jobs.close(0)
        except UndeliveredError as error: print(sum(event.job_id == "after" for event in error.events))
        """,
        NOBODY | {"JOBSTATUS_MAX_PENDING_EVENTS": "10000000", "JOBSTATUS_MAX_PENDING_BYTES": "2000000000"},
    )
    assert (code, out) == (0, "400\n"), err


@pytest.mark.parametrize("after", [0.05, 0.4, 0.6, 0.8])
def test_an_interrupted_close_keeps_what_it_held_for_the_next(after: float) -> None:
    code, out, err = scripts.run(
        f"""
        from jobstatus_producer import UndeliveredError
        jobs = JobStatusProducer.from_env()
        for step in range(60_000): jobs.update_job_status(f"j{{step}}", "s", "x" * 200)
        class Stop(BaseException): pass
        def stop(*_): raise Stop
        signal.signal(signal.SIGALRM, stop)
        signal.setitimer(signal.ITIMER_REAL, {after})
        held = 0
        while not held:
            try: jobs.close(0)
            except Stop: pass
            except SystemError: pass
            except UndeliveredError as error: held = len(error.events)
            else: break
        print(held)
        """,
        NOBODY,
    )
    assert (code, out) == (0, "60000\n"), err


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
    environ = NOBODY | {"JOBSTATUS_CLOSE_SECONDS": "50"}
    _, _, err = scripts.run(script, environ)
    assert "KeyboardInterrupt" in err
    assert "1 event ('first' s)" in err
    assert "1 event ('second' s)" in err


def test_a_call_is_not_accepted_after_a_handler_has_closed() -> None:
    code, _, err = scripts.run(
        """
        import random
        from jobstatus_producer import ProducerClosedError, UndeliveredError
        jobs = JobStatusProducer.from_env()
        def close(*_):
            try: jobs.close()
            except UndeliveredError: os._exit(0)
            closed.append(1)
        closed = []
        codes = []
        for round in range(40):
            pid = os.fork()
            if not pid:
                signal.signal(signal.SIGALRM, close)
                signal.setitimer(signal.ITIMER_REAL, random.uniform(.0005, .012))
                try: jobs.update_job_status("c", "s")
                except ProducerClosedError: os._exit(0)
                signal.setitimer(signal.ITIMER_REAL, 0)
                os._exit(9 if closed else 0)
            codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        assert set(codes) == {0}, codes
        """,
        NOBODY | {"JOBSTATUS_CLOSE_SECONDS": "0.2"},
    )
    assert code == 0, err
