"""A process forks, at any moment: the child has a producer of its own, waits for no lock, and nothing is sent twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from integration.producer import scripts
from integration.producer.conftest import Environ
from integration.producer.reading import arrived, read_all
from jobstatus_local.kafka import LocalKafka


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


@pytest.mark.parametrize("broker", ["there", "not there"])
def test_a_fork_right_after_the_first_call_waits_until_the_clients_threads_are_quiet(
    topic: str, environ: Environ, broker: str
) -> None:
    """Else a child may inherit a lock of OpenSSL taken, and can never connect."""
    code, _, err = scripts.run(
        """
        from jobstatus_producer.process.state import STATE
        jobs = JobStatusProducer.from_env()
        began = time.monotonic()
        jobs.update_job_status("parent", "x")
        assert STATE.new_clients, "a client has just been made"
        pid = os.fork()
        if not pid:
            os._exit(0 if not STATE.new_clients else 1)
        quiet = all(until <= time.monotonic() for until in STATE.new_clients.values())
        assert quiet and os.waitpid(pid, 0)[1] == 0
        found = not STATE.new_clients
        assert found or time.monotonic() - began >= 1
        jobs.close(30 if found else 0)
        """,
        environ(topic) if broker == "there" else {**scripts.NOBODY, "JOBSTATUS_TOPIC": topic},
    )
    assert ("UndeliveredError" in err) == (broker == "not there"), err
    assert code == (0 if broker == "there" else 1), err


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


STANDING = """
import jobstatus_producer
OURS = os.path.dirname(jobstatus_producer.__file__)

def in_the_middle_of(call, place):
    # a thread that stands at the `place`-th place of `call` in our code where another thread may run, until `go_on`
    left, stands, go_on = [place], threading.Event(), threading.Event()
    def profile(frame, what, _):
        if what in ("call", "c_call", "c_return") and frame.f_code.co_filename.startswith(OURS):
            left[0] -= 1
            if not left[0]:
                stands.set()
                go_on.wait()
    def run():
        sys.setprofile(profile)
        call()
        sys.setprofile(None)
        stands.set()
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    stands.wait()
    return left, go_on, thread

def forked(work):
    pid = os.fork()
    if not pid:
        work()
        sys.exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


def test_a_child_waits_for_no_lock_wherever_a_thread_of_its_parent_was_in_a_call(
    kafka: LocalKafka, topic: str, environ: Environ
) -> None:
    code, out, err = scripts.run(
        """
        jobs = JobStatusProducer.from_env()
        def call():
            jobs.update_job_status("parent", "x")
            jobs.flush()
        def child(place):
            # what takes long, the broker's answer, is waited for now and then
            jobs.update_job_status("child", str(place), wait=not place % 20)
            if place % 20: os._exit(0)
        place, left = 0, [0]
        while left[0] <= 0:
            # a lock is held for two places or more
            place += 2
            left, go_on, thread = in_the_middle_of(call, place)
            assert forked(lambda: child(place)) == 0, place
            go_on.set()
            thread.join()
        print(place)
        """,
        environ(topic),
        prelude=scripts.PRELUDE + STANDING,
    )
    assert code == 0, err
    assert int(out) > 60
    assert set(arrived(kafka, topic)["child"]) >= {str(place) for place in range(20, int(out) + 1, 20)}


def test_a_child_waits_for_no_lock_wherever_a_thread_of_its_parent_was_in_the_first_call(
    kafka: LocalKafka, topic: str, environ: Environ
) -> None:
    """A child that was forked, and so makes its producers at the first call, forks again in the middle of that."""
    code, _, err = scripts.run(
        """
        import socket
        from jobstatus_producer import update_job_status
        jobs = JobStatusProducer.from_env()
        def call(who, wait=False):
            jobs.update_job_status(who, "by its own", wait=wait)
            update_job_status(who, "by the module")
        NO_LOOK_UPS, FINISHED = 77, 78
        def call_in_the_child(place):
            # glibc's lock of a look-up that ran in the fork stays locked in the child, and no Python can release it
            given = ("127.0.0.1", None, 0, 0, 0, socket.AI_ADDRCONFIG)
            look_up = threading.Thread(target=socket.getaddrinfo, args=given, daemon=True)
            look_up.start()
            look_up.join(5)
            if look_up.is_alive(): os._exit(NO_LOOK_UPS)
            call(f"child-{place}", wait=True)
        def fork_in_the_middle(place):
            left, go_on, thread = in_the_middle_of(lambda: call("between"), place)
            while (code := forked(lambda: call_in_the_child(place))) == NO_LOOK_UPS: pass
            assert code == 0, place
            go_on.set()
            thread.join()
            if left[0] > 0: sys.exit(FINISHED)
        for place in range(1, 20_000, 61):
            code = forked(lambda: fork_in_the_middle(place))
            if code == FINISHED: break
            assert code == 0, place
        assert place > 61 * 4
        """,
        environ(topic),
        prelude=scripts.PRELUDE + STANDING,
    )
    assert code == 0, err
    found = arrived(kafka, topic)
    children = [job for job in found if job.startswith("child-")]
    assert len(children) > 4
    assert {tuple(found[job]) for job in children} == {("by its own", "by the module")}


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
    assert arrived(kafka, topic)["child"] == [str(child) for child in range(40)]


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
        scripts.NOBODY,
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
        scripts.NOBODY,
    )
    assert code == 0, err
