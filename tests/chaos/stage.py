"""The servers of a run: three brokers, a PostgreSQL, and the proxy through which consumers reach it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from confluent_kafka.admin import AdminClient
from jobstatus_local.kafka import LocalKafka
from jobstatus_local.postgres import LocalPostgres
from jobstatus_local.proxy import TcpProxy
from jobstatus_local.stack import local_stack
from support.waiting import until

SESSION_SECONDS: Final = 6.0
# KIP-848 keeps the time-outs on the broker's side; the classic protocol gets the same ones from the consumers
BROKER: Final = {
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.min.session.timeout.ms": "6000",
    "group.consumer.heartbeat.interval.ms": "500",
    "group.consumer.min.heartbeat.interval.ms": "500",
}


@dataclass(frozen=True)
class Stage:
    """What is there before a run and after it."""

    kafka: LocalKafka
    postgres: LocalPostgres
    proxy: TcpProxy

    def whole(self) -> None:
        """Mend everything that a run may have left broken, and wait until all copies are in step."""
        self.proxy.heal()
        self.postgres.start()
        for node in self.kafka.nodes:
            node.start(90)
        self.in_step()

    def in_step(self, timeout: float = 120.0) -> None:
        """Wait until no copy of any partition is behind."""
        admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap_servers, "log_level": 0})

        def all_there() -> bool:
            topics = admin.list_topics(timeout=10).topics.values()
            partitions = [partition for topic in topics for partition in topic.partitions.values()]
            return all(len(partition.isrs) == len(partition.replicas) for partition in partitions)

        until(all_there, "every copy is in step", timeout, every=0.2)


@contextmanager
def open_stage() -> Iterator[Stage]:
    """The servers, for the length of a `with`."""
    with ExitStack() as on_exit:
        stack = on_exit.enter_context(local_stack(LocalKafka(3, properties=BROKER), LocalPostgres()))
        proxy = on_exit.enter_context(TcpProxy(stack.postgres.port))
        yield Stage(stack.kafka, stack.postgres, proxy)


def session(url: str) -> psycopg.Connection[Any]:
    """A session of the one who breaks things: it may write where others may not."""
    options = "-c default_transaction_read_only=off"
    return psycopg.connect(url, autocommit=True, connect_timeout=10, options=options, application_name="chaos")
