"""Rebalances, zombies, deaf connections and stops, with real processes."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from jobstatus_consumer.config import Settings, load_settings
from jobstatus_consumer.errors import BrokerAwayError
from jobstatus_consumer.kafka.group_consumer import new_client
from jobstatus_consumer.kafka.topics import Topics
from jobstatus_consumer.stream.app import ConsumeOptions, consume
from jobstatus_local.proxy import TcpProxy
from support.deployment import Deployment, locked, made_events
from support.fixture_types import OwnServer
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


def write_waits(deployed: Deployment) -> None:
    until(lambda: deployed.query("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"), "a write that waits")


def test_a_frozen_consumer_changes_nothing_when_it_wakes(deployed: Deployment) -> None:
    events = made_events(4_000, 200)
    with locked(deployed):
        frozen = deployed.consumer()
        deployed.produce_events(events[:1_000])
        write_waits(deployed)
        frozen.signal(signal.SIGSTOP)
    # its statement may land now, or not; its session runs out and another one takes over
    other = deployed.consumer()
    deployed.produce_events(events[1_000:])
    deployed.caught_up()
    done = deployed.rows()
    frozen.signal(signal.SIGCONT)
    frozen.says("partitions", count=2)
    deployed.caught_up()
    assert deployed.rows() == done
    deployed.assert_exact()
    assert not deployed.dead_letters()
    for consumer in (frozen, other):
        assert consumer.stop() == 0


def test_a_revoke_during_a_write_and_during_waiting_loses_nothing(deployed: Deployment) -> None:
    events = made_events(3_000, 300)
    first = deployed.consumer()
    with locked(deployed):
        deployed.produce_events(events[:1_000])
        write_waits(deployed)
        second = deployed.consumer()
        # lock_timeout has made the first one wait by then: partitions arrive and go while it waits
        first.says("waiting for the database")
        second.says("got partitions")
    deployed.produce_events(events[1_000:])
    deployed.caught_up()
    deployed.assert_exact()
    assert not deployed.dead_letters()
    for consumer in (first, second):
        assert consumer.stop() == 0


@pytest.mark.parametrize(
    "properties",
    [
        {"JOBSTATUS_KAFKA_PARTITION_ASSIGNMENT_STRATEGY": "range"},
        {"JOBSTATUS_KAFKA_PARTITION_ASSIGNMENT_STRATEGY": "roundrobin"},
        {"JOBSTATUS_KAFKA_GROUP_PROTOCOL": "consumer"},
        {"JOBSTATUS_KAFKA_GROUP_INSTANCE_ID": "static-1"},
    ],
)
def test_other_protocols_pass_through(deployed: Deployment, properties: dict[str, str]) -> None:
    if "JOBSTATUS_KAFKA_GROUP_PROTOCOL" in properties:
        # the broker sets these for the new protocol, and the client refuses them
        deployed.without |= {"JOBSTATUS_KAFKA_SESSION_TIMEOUT_MS", "JOBSTATUS_KAFKA_HEARTBEAT_INTERVAL_MS"}
    events = made_events(1_500, 100)
    first = deployed.consumer(wait=True, **properties)
    deployed.produce_events(events[:700])
    deployed.caught_up()
    second_name = {name: "static-2" for name in properties if name.endswith("INSTANCE_ID")}
    second = deployed.consumer(wait=True, **{**properties, **second_name})
    second.says("got partitions")
    deployed.produce_events(events[700:])
    deployed.caught_up()
    assert first.stop() == 0
    assert second.stop() == 0
    deployed.assert_exact()
    assert deployed.lag() == 0


def test_a_deaf_connection_is_noticed_within_its_bound(own_server: OwnServer) -> None:
    with own_server() as (_, deployed):
        port = int(deployed.database_url.rsplit(":", 1)[1].split("/")[0])
        with TcpProxy(port) as proxy:
            consumer = deployed.consumer(JOBSTATUS_DATABASE_URL=proxy.through(deployed.database_url))
            deployed.produce_events(made_events(500, 50))
            deployed.caught_up()
            proxy.deaf()
            deployed.produce_events(made_events(500, 50, seed=2))
            consumer.says("waiting for the database")
            proxy.cut()
            proxy.heal()
            consumer.says("answers again")
            deployed.caught_up()
            deployed.assert_exact()
            assert not deployed.dead_letters()
            assert consumer.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_while_waiting_ends_at_once_and_commits_nothing_unwritten(
    own_server: OwnServer, number: signal.Signals
) -> None:
    with own_server() as (postgres, deployed):
        consumer = deployed.consumer()
        deployed.produce_events(made_events(300, 30))
        deployed.caught_up()
        postgres.stop("immediate")
        deployed.produce_events(made_events(300, 30, seed=2))
        consumer.says("waiting for the database")
        # without a stop it would wait for the database without a limit
        consumer.signal(number)
        assert consumer.process.wait(30) == 0
        postgres.start()
        summary = deployed.drain()
        assert summary["events"] == 300
        deployed.assert_exact()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_while_idle_or_writing_redelivers_nothing(deployed: Deployment, number: signal.Signals) -> None:
    idle = deployed.consumer()
    idle.says("got partitions")
    idle.signal(number)
    assert idle.process.wait(30) == 0
    busy = deployed.consumer()
    deployed.produce_events(made_events(20_000, 500))
    busy.says("Batch updated", count=10)
    busy.signal(number)
    assert busy.process.wait(30) == 0
    deployed.drain()
    written = sum(_numbers(consumer.text()) for consumer in (idle, busy))
    assert deployed.lag() == 0
    deployed.assert_exact()
    assert written + deployed.last_summary["events"] == 20_000


def _numbers(text: str) -> int:
    return sum(int(line.split("Batch updated ")[1].split()[0]) for line in text.splitlines() if "Batch updated" in line)


def test_a_read_only_database_is_awaited(own_server: OwnServer) -> None:
    with own_server() as (_, deployed):
        consumer = deployed.consumer()
        deployed.produce_events(made_events(300, 30))
        deployed.caught_up()
        name: Any = deployed.query("SELECT current_database()")[0][0]
        deployed.query(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        deployed.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'jobstatus'")
        deployed.produce_events(made_events(300, 30, seed=2))
        consumer.says("25006")
        deployed.query(f"BEGIN READ WRITE; ALTER DATABASE {name} RESET ALL; COMMIT")
        deployed.caught_up()
        deployed.assert_exact()
        assert not deployed.dead_letters()
        assert consumer.stop() == 0


def test_a_start_while_the_database_is_read_only_waits_and_then_refuses(own_server: OwnServer) -> None:
    with own_server() as (_, deployed):
        name: Any = deployed.query("SELECT current_database()")[0][0]
        deployed.query(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        refused = deployed.run("consume", "--wait-for-database", "2", code=1)
        assert "not ready:\n  - default_transaction_read_only is on" in refused.stderr
        consumer = deployed.consumer(wait=False)
        consumer.says("default_transaction_read_only is on")
        deployed.query(f"BEGIN READ WRITE; ALTER DATABASE {name} RESET ALL; COMMIT")
        consumer.says("got partitions")
        assert consumer.stop() == 0


def test_a_missing_table_in_the_middle_stops_with_a_clear_message(deployed: Deployment) -> None:
    consumer = deployed.consumer()
    deployed.produce_events(made_events(300, 30))
    deployed.caught_up()
    deployed.query("ALTER TABLE jobs RENAME TO jobs_gone")
    deployed.produce_events(made_events(300, 30, seed=2))
    assert consumer.process.wait(60) == 1
    assert "42P01" in consumer.text()
    assert "Traceback" not in consumer.text()
    assert deployed.lag() == 300
    deployed.query("ALTER TABLE jobs_gone RENAME TO jobs")
    deployed.drain()
    deployed.assert_exact()


class Watched:
    """A client of the library, and the names of what was asked of it while one of its callbacks ran."""

    def __init__(self, properties: dict[str, Any]) -> None:
        self._client: Any = new_client(properties)
        self._running = False
        self.asked: set[str] = set()

    def subscribe(self, topics: list[str], **callbacks: Any) -> None:
        self._client.subscribe(topics, **{name: self._inside(callback) for name, callback in callbacks.items()})

    def _inside(self, callback: Any) -> Any:
        def call(client: Any, partitions: list[TopicPartition]) -> None:
            self._running = True
            try:
                callback(client, partitions)
            finally:
                self._running = False

        return call

    def __getattr__(self, name: str) -> Any:
        if self._running:
            self.asked.add(name)
        return getattr(self._client, name)


def test_nothing_that_polls_is_asked_of_the_member_inside_its_callbacks(deployed: Deployment) -> None:
    # the library forgets there that a poll is under way, and aborts the process at the poll's next callback
    deployed.produce_events(made_events(500, 100))
    made: list[Watched] = []
    failed: list[int] = []

    def make(properties: dict[str, Any]) -> Any:
        made.append(Watched(properties))
        return made[-1]

    class UnsureAdmin(AdminClient):
        """Does not know the partition at first, so that the question is repeated inside the callback."""

        def list_offsets(self, *arguments: Any, **named: Any) -> Any:
            if made and len(failed) < 2:
                failed.append(1)
                raise KafkaException(KafkaError(KafkaError._UNKNOWN_PARTITION))
            return super().list_offsets(*arguments, **named)

    settings, options = load_settings(deployed.environ), ConsumeOptions(until_caught_up=True)
    topics = Topics(settings, make_client=UnsureAdmin)
    assert consume(settings, options, topics=topics, make_client=make).events == 500
    assert len(failed) == 2
    assert made[-1].asked
    assert made[-1].asked <= {"committed", "commit", "pause"}


class SilentTopics(Topics):
    """Gets no answer about the first two assignments; `look` is called before the second one fails."""

    def __init__(self, settings: Settings, look: Callable[[], None]) -> None:
        super().__init__(settings)
        self._look = look
        self._asked = 0

    def topic_id(self, name: str) -> str:
        self._asked += 1
        if self._asked == 2:
            self._look()
        if self._asked <= 2:
            raise BrokerAwayError("asking what is committed: no answer")
        return super().topic_id(name)


def test_a_broker_that_is_silent_during_an_assignment_is_asked_again(
    deployed: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    deployed.produce_events(made_events(1_000, 100))
    ready: list[str] = []

    def look() -> None:
        where = re.search(r"http://\S+:\d+", caplog.text)
        assert where
        with pytest.raises(HTTPError, match="503") as refused:
            urlopen(f"{where[0]}/readyz", timeout=10)
        ready.append(refused.value.read().decode())

    caplog.set_level("INFO")
    settings = load_settings({**deployed.environ, "JOBSTATUS_HTTP_ADDRESS": "127.0.0.1:0"})
    done = consume(settings, ConsumeOptions(until_caught_up=True), topics=SilentTopics(settings, look))
    assert done.events == 1_000
    assert "asking what is committed: no answer" in ready[0]
    assert caplog.text.count("no answer; nothing is lost; joining the group anew") == 2
    assert deployed.lag() == 0
    deployed.assert_exact()
