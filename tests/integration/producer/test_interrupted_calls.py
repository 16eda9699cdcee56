"""Signals in the middle of calls, of `close`, and of the end: handlers that raise, report, close or are changed."""

from __future__ import annotations

import signal
import textwrap
import time
from pathlib import Path

import pytest
from integration.producer import scripts
from integration.producer.conftest import Environ
from integration.producer.reading import make_topic_at, read_all, statuses_by_job
from jobstatus_local.kafka import LocalKafka
from support.breakable import Breakable

POOL = """
from multiprocessing import get_context
from jobstatus_producer import update_job_status

def work(number):
    update_job_status(number, "processing")
    update_job_status(number, "success")

if __name__ == "__main__":
    import sys, threading
    from multiprocessing import active_children
    # of a signal that comes just before a child begins to wait, Python tells its handler only at the next one
    again = threading.Timer(20, lambda: [child.terminate() for child in active_children()])
    again.daemon = True
    again.start()
    {before}
    with get_context(sys.argv[1]).Pool(3) as pool:
        pool.map(work, range(60))
"""


@pytest.mark.parametrize("before", ["", 'update_job_status("parent", "processing")'], ids=["lazily", "parent first"])
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_pool_that_terminates_its_children_loses_nothing(
    kafka: LocalKafka, topic: str, environ: Environ, tmp_path: Path, method: str, before: str
) -> None:
    (tmp_path / "pooled.py").write_text(POOL.format(before=before))
    script = f"""
    import runpy
    sys.argv = ["pooled.py", {method!r}]
    sys.path.insert(0, {str(tmp_path)!r})
    runpy.run_path({str(tmp_path / "pooled.py")!r}, run_name="__main__")
    """
    if method == "spawn":
        script = f"""
        import subprocess
        sys.exit(subprocess.call([sys.executable, {str(tmp_path / "pooled.py")!r}, "spawn"]))
        """
    code, _, err = scripts.run(script, environ(topic))
    assert code == 0, err
    found = statuses_by_job(read_all(kafka.bootstrap_servers, topic))
    found.pop("parent", None)
    assert found == {str(number): ["processing", "success"] for number in range(60)}


def spooled(breakable: Breakable, topic: str, spool: Path) -> dict[str, list[str]]:
    """What the next start in the folder delivers."""
    breakable.proxy.heal()
    code, _, err = scripts.run("assert JobStatusProducer.from_env().flush(30) == 0", breakable.environ(topic, spool))
    assert code == 0, err
    return statuses_by_job(read_all(breakable.kafka.bootstrap_servers, topic))


HANGING_CLOSE = """
    {handler}
    jobs = JobStatusProducer.from_env()
    for step in range(5):
        jobs.update_job_status("job", str(step))
    print("ready", flush=True)
    {close}
"""


@pytest.mark.parametrize(
    ("number", "handler", "close", "code"),
    [
        (signal.SIGTERM, "", "jobs.close()", -signal.SIGTERM),
        (signal.SIGTERM, "", "", -signal.SIGTERM),
        (signal.SIGTERM, "", "with jobs: pass\n    rest()", -signal.SIGTERM),
        (signal.SIGTERM, "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))", "jobs.close()", 7),
        (
            signal.SIGINT,
            "signal.signal(signal.SIGINT, signal.default_int_handler)",
            "try: jobs.close()\n    except KeyboardInterrupt: jobs.close()",
            0,
        ),
    ],
    ids=["close", "at exit", "leaving with", "own handler exits", "ctrl-c and close again"],
)
def test_a_signal_during_a_close_that_waits_loses_nothing(
    breakable: Breakable,
    tmp_path: Path,
    number: int,
    handler: str,
    close: str,
    code: int,
) -> None:
    topic = make_topic_at(breakable.kafka.bootstrap_servers)
    breakable.proxy.deaf()
    script = HANGING_CLOSE.format(handler=handler, close=close)
    process = scripts.start(textwrap.dedent(script), breakable.environ(topic, tmp_path))
    assert scripts.read_line(process) == "ready"
    time.sleep(0.7)
    process.send_signal(number)
    ended, _, err = scripts.end(process, 45)
    assert ended == code, err
    assert spooled(breakable, topic, tmp_path)["job"] == [str(step) for step in range(5)]


@pytest.mark.parametrize("spool", ["none", "overflows into it", "durable"])
def test_handlers_that_raise_in_the_middle_of_calls_leave_the_producer_whole(
    kafka: LocalKafka, topic: str, environ: Environ, tmp_path: Path, spool: str
) -> None:
    more = {"none": {}, "overflows into it": {"MAX_PENDING_EVENTS": 20}, "durable": {"DURABLE": 1}}[spool]
    folder = {} if spool == "none" else {"SPOOL_DIR": tmp_path}
    code, out, err = scripts.run(
        """
        class Interrupted(Exception): pass
        armed = False
        def interrupt(*_):
            if armed:
                raise Interrupted
        signal.signal(signal.SIGALRM, interrupt)
        jobs = JobStatusProducer.from_env()
        returned, interrupted, step = [], 0, 0
        jobs.update_job_status("warm", "up", wait=True)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0013)
        while interrupted < 120:
            step += 1
            try:
                armed = True
                jobs.update_job_status("job", str(step))
                armed = False
                returned.append(step)
            except Interrupted:
                armed = False
                interrupted += 1
            if step % 50 == 0:
                time.sleep(0.001)
        signal.setitimer(signal.ITIMER_REAL, 0)
        jobs.update_job_status("after", "all", wait=True)
        assert jobs.flush(30) == 0, jobs.stats()
        stats = jobs.stats()
        assert stats.delivered <= stats.accepted + interrupted, stats
        assert stats.queue_depth == stats.spool_depth == 0, stats
        jobs.close()
        print(*returned)
        """,
        environ(topic, MAX_BLOCK_SECONDS=30, **more, **folder),
    )
    assert code == 0, err
    assert list(tmp_path.iterdir()) == []
    found = statuses_by_job(read_all(kafka.bootstrap_servers, topic))["job"]
    assert set(out.split()) - set(found) == set()
    assert [int(step) for step in found] == sorted(map(int, found))


@pytest.mark.parametrize("durable", [False, True])
def test_a_handler_may_report_in_the_middle_of_a_call(
    kafka: LocalKafka, topic: str, environ: Environ, tmp_path: Path, durable: bool
) -> None:
    spool = {"SPOOL_DIR": tmp_path, "DURABLE": 1} if durable else {}
    code, out, err = scripts.run(
        """
        jobs = JobStatusProducer.from_env()
        handled = []
        def handle(*_):
            handled.append(len(handled))
            jobs.update_job_status("handler", str(len(handled)))
            jobs.stats()
            # only now the next one, so that they do not interrupt each other; no more than are wanted, or a call on a
            # slow machine takes in what handlers report for ever
            if len(handled) < 500:
                signal.setitimer(signal.ITIMER_REAL, 0.0007)
        signal.signal(signal.SIGALRM, handle)
        jobs.update_job_status("warm", "up", wait=True)
        signal.setitimer(signal.ITIMER_REAL, 0.001)
        step = 0
        while len(handled) < 500:
            step += 1
            jobs.update_job_status("job", str(step))
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert jobs.flush(30) == 0
        jobs.close()
        print(step, len(handled))
        """,
        environ(topic, MAX_BLOCK_SECONDS=30, **spool),
    )
    assert code == 0, err
    steps, handled = map(int, out.split())
    found = statuses_by_job(read_all(kafka.bootstrap_servers, topic))
    assert found["job"] == [str(step) for step in range(1, steps + 1)]
    assert found["handler"] == [str(step) for step in range(1, handled + 1)]


@pytest.mark.parametrize("end", ["sys.exit(3)", "pass"])
def test_a_handler_may_report_and_close_in_the_middle_of_calls(
    kafka: LocalKafka, topic: str, environ: Environ, end: str
) -> None:
    for _ in range(5):
        process = scripts.start(
            f"""
            from jobstatus_producer import ProducerClosedError, UndeliveredError
            jobs = JobStatusProducer.from_env()
            def handle(*_):
                jobs.update_job_status("job", "cancelled")
                try:
                    jobs.close()
                except UndeliveredError as error:
                    # the one whose call was interrupted may be in hand
                    assert [event.job_id for event in error.events] == ["other"]
                {end}
            signal.signal(signal.SIGTERM, handle)
            jobs.update_job_status("warm", "up", wait=True)
            print("ready", flush=True)
            step = 0
            try:
                while True:
                    step += 1
                    jobs.update_job_status("other", str(step))
                    # never so many that a call runs callbacks: what one of them interrupts is told when it is over
                    time.sleep(0.0005)
            except ProducerClosedError:
                sys.exit(3)
            """,
            environ(topic, MAX_BLOCK_SECONDS=30),
        )
        assert scripts.read_line(process) == "ready"
        time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        code, _, err = scripts.end(process, 45)
        assert code == 3, err
    statuses = [
        record.event.status for record in read_all(kafka.bootstrap_servers, topic) if record.event.job_id == "job"
    ]
    assert statuses == ["cancelled"] * 5


def test_a_producer_made_after_the_handler_was_changed_flushes_on_sigterm(
    kafka: LocalKafka, topic: str, environ: Environ
) -> None:
    process = scripts.start(
        """
        JobStatusProducer.from_env().close()
        first = JobStatusProducer.from_env()
        ours = signal.getsignal(signal.SIGTERM)
        # as libraries do that chain, too
        signal.signal(signal.SIGTERM, lambda number, frame: (ours(number, frame), sys.exit(5)))
        first.close()
        jobs = JobStatusProducer.from_env()
        for step in range(200):
            jobs.update_job_status("job", str(step))
        print("ready", flush=True)
        rest()
        """,
        environ(topic),
    )
    assert scripts.read_line(process) == "ready"
    process.send_signal(signal.SIGTERM)
    code, _, err = scripts.end(process, 45)
    assert code == 5, err
    assert statuses_by_job(read_all(kafka.bootstrap_servers, topic)) == {"job": [str(step) for step in range(200)]}


def test_many_coroutines_that_wait_for_room_keep_their_bound(topic: str, environ: Environ) -> None:
    code, out, err = scripts.run(
        """
        import asyncio
        from jobstatus_producer import BufferFullError
        async def one(jobs):
            began = time.monotonic()
            try:
                await jobs.aupdate_job_status("job", "x")
            except BufferFullError as error:
                assert len(error.events) == 1
            return time.monotonic() - began
        async def main():
            jobs = JobStatusProducer.from_env()
            jobs.update_job_status("job", "fills it")
            print(max(await asyncio.gather(*(one(jobs) for _ in range(200)))), flush=True)
            os._exit(0)
        asyncio.run(main())
        """,
        environ(topic, MAX_PENDING_EVENTS=1, MAX_BLOCK_SECONDS=1)
        | {"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"},
    )
    assert code == 0, err
    assert 1 <= float(out) < 3
