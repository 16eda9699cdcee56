"""A signal's handler reports, closes, forks or raises in the middle of a call: nothing is lost and nobody hangs."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from integration.producer import scripts
from jobstatus_schemas import CODEC


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
        scripts.NOBODY,
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
        scripts.NOBODY | {"JOBSTATUS_MAX_PENDING_EVENTS": "10000000", "JOBSTATUS_MAX_PENDING_BYTES": "2000000000"},
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
            except (KeyboardInterrupt, SystemError): pass
            except UndeliveredError as error: held = len(error.events)
            else: break
        print(held)
        """,
        scripts.NOBODY,
    )
    assert (code, out) == (0, "60000\n"), err


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
        scripts.NOBODY | {"JOBSTATUS_CLOSE_SECONDS": "0.2"},
    )
    assert code == 0, err


def test_a_handler_that_forks_goes_on_in_the_child_as_in_the_parent() -> None:
    code, _, err = scripts.run(
        """
        children = []
        signal.signal(signal.SIGTERM, lambda *_: children.append(os.fork()))
        jobs = JobStatusProducer.from_env()
        os.kill(os.getpid(), signal.SIGTERM)
        while not children:
            time.sleep(0.01)
        if not children[0]:
            sys.exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 7
        """,
        scripts.NOBODY,
    )
    assert code == 0, err


def test_a_handler_that_ends_the_process_in_the_middle_of_a_call_spools_what_was_accepted(tmp_path: Path) -> None:
    """The flush that comes first must not wait for that call: it never goes on."""
    code, _, err = scripts.run(
        """
        jobs = JobStatusProducer.from_env()
        outbox, ended = jobs._outbox, []
        def handler(*_):
            ended.append(1)
            jobs.update_job_status("job", "of the handler")
            os._exit(5)
        signal.signal(signal.SIGUSR1, handler)
        for step in range(3):
            jobs.update_job_status("job", str(step))
        stamp = outbox._clock.stamp
        class Clock:
            now = outbox._clock.now
            def stamp(self):
                if not ended: signal.raise_signal(signal.SIGUSR1)
                return stamp()
        outbox._clock = Clock()
        jobs.update_job_status("job", "of the call")
        """,
        scripts.NOBODY | {"JOBSTATUS_SPOOL_DIR": str(tmp_path), "JOBSTATUS_CLOSE_SECONDS": "0.5"},
    )
    assert code == 5, err
    (path,) = tmp_path.glob("*.spool")
    with closing(sqlite3.connect(path)) as spool:
        values = [CODEC.decode(value).status for (value,) in spool.execute("select value from events order by seq")]
    assert values == ["0", "1", "2", "of the handler"]
