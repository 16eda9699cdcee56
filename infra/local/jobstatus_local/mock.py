"""librdkafka's built-in cluster: what the demo falls back to where the jars cannot be had.

It lives in this process's memory, speaks enough of Kafka's protocol to produce and consume in groups, and serves other
processes too. It has no topic or group administration and finds no offset by time; a topic comes into being with four
partitions when it is first used. Never evidence for what a real broker does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from jobstatus_local.errors import LocalServerError

if TYPE_CHECKING:
    from types import TracebackType

    from confluent_kafka import Producer

_ANSWER_SECONDS = 10.0


class MockKafka:
    """An in-memory cluster; a context manager.

    Attributes:
        bootstrap_servers: `127.0.0.1:port[,...]`; empty while it is down.
    """

    def __init__(self, brokers: int = 1) -> None:
        if brokers < 1:
            raise ValueError(f"brokers must be at least 1, not {brokers}")
        self.bootstrap_servers = ""
        self._brokers = brokers
        self._owner: Producer | None = None

    def start(self) -> None:
        """Start it; nothing happens if it runs.

        Raises:
            LocalServerError: it does not answer within 10 s.
        """
        from confluent_kafka import KafkaException, Producer

        if self._owner is not None:
            return
        owner = Producer({"test.mock.num.brokers": self._brokers, "log_level": 0})
        try:
            known = owner.list_topics(timeout=_ANSWER_SECONDS).brokers.values()
        except KafkaException as error:
            raise LocalServerError(f"librdkafka's built-in cluster does not answer: {error}") from error
        self.bootstrap_servers = ",".join(f"{broker.host}:{broker.port}" for broker in known)
        self._owner = owner

    def close(self) -> None:
        """End it; what it held is gone. Idempotent."""
        self._owner = None  # the cluster ends with the client that made it
        self.bootstrap_servers = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
