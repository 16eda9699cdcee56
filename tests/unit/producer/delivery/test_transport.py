"""A client that was let go of is gone, and whoever lets go of it does not wait for its threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, Producer
from jobstatus_producer import JobStatusProducer, UndeliveredError
from jobstatus_producer.delivery.transport import Failure, FailureKind, KafkaTransport
from support.waiting import until

NOBODY = {"bootstrap.servers": "127.0.0.1:1"}


@pytest.fixture
def opened() -> Callable[..., KafkaTransport]:
    return partial(KafkaTransport, "topic", NOBODY, 100, lambda _failure: None)


def threads_of_the_client() -> int:
    found = 0
    for task in Path("/proc/self/task").iterdir():
        # it may end meanwhile
        with suppress(OSError):
            found += (task / "comm").read_text().startswith("rdk:")
    return found


def test_a_closed_producer_leaves_no_thread_of_its_client() -> None:
    before = threads_of_the_client()
    jobs = JobStatusProducer.from_env({"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"})
    jobs.update_job_status("job", "processing")
    until(lambda: threads_of_the_client() > before, "the client has threads")
    with pytest.raises(UndeliveredError):
        jobs.close(0.1)
    until(lambda: threads_of_the_client() <= before, "they are gone")


def test_closing_waits_a_bounded_time_for_the_clients_threads(opened: Callable[..., KafkaTransport]) -> None:
    """librdkafka's destructor joins its threads, one of which may be waiting for a name server."""
    answer, gone = threading.Event(), threading.Event()

    class Waiting(Producer):
        def __del__(self) -> None:
            answer.wait(60)
            gone.set()

    opened(open_client=Waiting, let_go_seconds=0.01).close()
    assert not gone.is_set()
    answer.set()
    assert gone.wait(60)


def test_a_closed_client_takes_nothing_and_says_so(opened: Callable[..., KafkaTransport]) -> None:
    client = opened()
    client.close()
    client.close()
    client.poll(0)
    client.purge()
    assert len(client) == 0
    failure = client.send(b"key", b"value", lambda *_: None, late=False, traceparent=None)
    assert isinstance(failure, Failure)
    assert failure.text.startswith("_DESTROY")
    assert failure.kind is FailureKind.TEMPORARY


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (None, None),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, None),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, "this client has no right WRITE on the topic topic"),
    ],
)
def test_a_broker_is_not_reached_by_a_client_that_may_not_see_the_topic(
    opened: Callable[..., KafkaTransport], code: int | None, words: str | None
) -> None:
    """Else new certificates of a user without rights would replace those of a client that works."""

    class Answered(Producer):
        def list_topics(self, topic: str, timeout: float) -> Any:  # type: ignore[override]
            return SimpleNamespace(topics={topic: SimpleNamespace(error=code and KafkaError(code))})

    client = opened(open_client=Answered)
    failure = client.reach(0.1)
    client.close()
    assert (failure is None) == (words is None)
    assert failure is None or words is None or words in failure.text
