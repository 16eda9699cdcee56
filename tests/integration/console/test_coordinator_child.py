"""The process that asks the group's coordinator: its end is not the console's, and it never outlives the console."""

from __future__ import annotations

import gc
import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import psutil
import pytest
from confluent_kafka import KafkaError, KafkaException
from jobstatus_consumer.config import load_settings
from jobstatus_consumer.errors import BrokerAwayError, CoordinatorAwayError, StopRequestedError
from jobstatus_consumer.kafka import GuardedCoordinator, Topics
from jobstatus_consumer.kafka import guarded as guarded_module
from jobstatus_consumer.kafka.client import ask
from support.console import Console, Listening, console_process
from support.deployment import Deployment
from support.forked import COMMAND, Command
from support.processes import is_running, wait_until_gone
from support.waiting import until

SCRIPT = "coordinator_child.py"
STALE = re.compile(r"Stale: no answer of (\w+)")


def guarded(deployed: Deployment, seconds: float = 30.0, **environ: str) -> GuardedCoordinator:
    return GuardedCoordinator(load_settings({**deployed.variables, **environ}), seconds=seconds)


def unheard(error: KafkaError) -> None:
    raise AssertionError(error)


def state(coordinator: GuardedCoordinator) -> str:
    """The state of a group that is not there."""
    # a new broker answers NOT_COORDINATOR for a moment; every command asks again, too
    return ask("state", lambda: coordinator.describe("nobody's", "none", rights=True, heard=unheard)).state


def child_of(pid: int) -> int | None:
    """The child's process id, once it is more than a copy of its parent."""
    found = [item.pid for item in psutil.Process(pid).children() if SCRIPT in " ".join(item.cmdline())]
    assert len(found) < 2
    return found[0] if found else None


@pytest.fixture
def watched(shown: Deployment, tmp_path: Path) -> Iterator[Console]:
    """A console in a process of its own, which knows the group."""
    with console_process(shown, tmp_path / "console.log") as found:
        until(lambda: group_state(found), "it knows the group")
        yield found


def process_of(console: Console) -> subprocess.Popen[bytes]:
    assert isinstance(console.server, Listening)
    return console.server.process


def group_state(console: Console) -> str | None:
    try:
        found = console.get("/api/overview").json
    except OSError:
        return None  # it starts
    return None if found["stale"] else found["state"]


def test_a_child_that_aborts_ends_no_console_and_the_group_is_known_again(watched: Console) -> None:
    """SIGABRT is how a failed assertion of librdkafka ends it. All the time the console answers."""
    first = child_of(process_of(watched).pid)
    assert first is not None
    stop, codes = threading.Event(), set()
    stale: list[str] = []

    def ask_on() -> None:
        while not stop.is_set():
            page = watched.get("/")
            codes.add(page.code)
            stale.extend(STALE.findall(page.text))

    asking = threading.Thread(target=ask_on)
    asking.start()
    try:
        os.kill(first, signal.SIGABRT)
        until(lambda: "Kafka" in stale, "the page says that Kafka's half is not known")
        until(lambda: group_state(watched), "the group is known again")
    finally:
        stop.set()
        asking.join()
    assert codes == {200}
    assert child_of(process_of(watched).pid) not in (None, first)


def test_the_child_ends_with_a_console_that_is_killed(shown: Deployment) -> None:
    environ = {**shown.environ, "JOBSTATUS_CONSOLE_ADDRESS": "127.0.0.1:0"}
    with Command[bytes]([COMMAND, "console"], env=environ, stderr=subprocess.DEVNULL) as process:
        child = until(lambda: child_of(process.pid), "it asks")
        assert child is not None
        process.kill()
        process.wait(30)
        wait_until_gone([child])


def test_a_watched_status_goes_on_without_its_child(shown: Deployment, tmp_path: Path) -> None:
    out = tmp_path / "status"
    with out.open("wb") as file:
        process = Command[bytes]([COMMAND, "status", "--watch", "--json"], env=shown.environ, stdout=file)

    def states() -> list[str | None]:
        return [json.loads(line)["state"] for line in out.read_text().splitlines() if line.endswith("}")]

    try:
        until(lambda: states() and states()[-1], "it knows the group")
        before = len(states())
        child = child_of(process.pid)
        assert child is not None
        os.kill(child, signal.SIGABRT)
        until(lambda: None in states()[before:], "it says that the group is not known")
        until(lambda: states()[-1], "it knows the group again")
        child = until(lambda: child_of(process.pid), "another child asks")
        assert child is not None
        process.terminate()
        assert process.wait(30) == 0
        wait_until_gone([child])
    finally:
        process.kill()
        process.wait(30)


def test_a_child_that_ends_again_and_again_is_started_less_and_less_often(shown: Deployment) -> None:
    with mock.patch.object(guarded_module, "FIRST_PAUSE", 30.0), guarded(shown) as coordinator:
        assert state(coordinator) == "DEAD"
        assert coordinator.pid is not None
        os.kill(coordinator.pid, signal.SIGABRT)
        with pytest.raises(CoordinatorAwayError, match=r"has ended \(SIGABRT\), and is started again in 30 s"):
            state(coordinator)
        with pytest.raises(CoordinatorAwayError, match=r"is started again in \d+\.\d s"):
            state(coordinator)


def test_a_child_that_is_silent_is_ended_and_replaced(shown: Deployment) -> None:
    with mock.patch.object(guarded_module, "MORE_SECONDS", 0.2), guarded(shown, seconds=1.0) as coordinator:
        until(lambda: answers(coordinator), "it answers")
        silent = coordinator.pid
        assert silent is not None
        os.kill(silent, signal.SIGSTOP)
        with pytest.raises(CoordinatorAwayError, match=r"gave no answer within 1\.2 s and was ended"):
            state(coordinator)
        assert not is_running(silent)
        until(lambda: answers(coordinator), "the next one answers")


def answers(coordinator: GuardedCoordinator) -> bool:
    try:
        return state(coordinator) == "DEAD"
    except (CoordinatorAwayError, KafkaException):
        return False


def test_the_end_interrupts_a_question_and_leaves_no_process_and_no_descriptor(shown: Deployment) -> None:
    # what earlier tests have left to the collector is not counted
    gc.collect()
    before = psutil.Process().num_fds()
    coordinator = guarded(shown)
    assert state(coordinator) == "DEAD"
    child = coordinator.pid
    assert child is not None
    os.kill(child, signal.SIGSTOP)
    raised: list[BaseException] = []

    def ask() -> None:
        try:
            state(coordinator)
        except StopRequestedError as error:
            raised.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    coordinator.close()
    asking.join()
    assert len(raised) == 1
    assert not is_running(child)
    # fewer where a client of an earlier test has closed its sockets meanwhile, and more while the shared console asks
    until(lambda: psutil.Process().num_fds() <= before, "no descriptor is left")
    with pytest.raises(StopRequestedError):
        state(coordinator)


def test_it_is_small(shown: Deployment) -> None:
    with guarded(shown) as coordinator:
        assert state(coordinator) == "DEAD"
        assert psutil.Process(coordinator.pid).memory_info().rss < 45_000_000


def test_no_broker_is_said_as_without_a_child(shown: Deployment) -> None:
    nobody = {"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    settings = load_settings({**shown.environ, **nobody})
    with guarded(shown, seconds=0.5, **nobody) as coordinator:
        topics = Topics(settings, patience=0.0, coordinator=coordinator)
        with pytest.raises(BrokerAwayError, match=r"describing the group .*: no broker answers at 127\.0\.0\.1:1"):
            topics.group_facts(shown.group)
        assert coordinator.pid is not None, "the child answered"


def test_a_property_whose_file_has_changed_is_used_by_a_new_child(shown: Deployment, tmp_path: Path) -> None:
    file = tmp_path / "rack"
    file.write_text("one")
    with guarded(shown, JOBSTATUS_KAFKA_CLIENT_RACK_FILE=str(file)) as coordinator:
        assert state(coordinator) == "DEAD"
        first = coordinator.pid
        assert state(coordinator) == "DEAD"
        assert coordinator.pid == first
        file.write_text("two")
        assert state(coordinator) == "DEAD"
        assert coordinator.pid != first
