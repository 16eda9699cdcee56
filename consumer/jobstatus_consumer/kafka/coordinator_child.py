"""Asks a group's coordinator, as a program of its own: librdkafka 2.16 may end the process that asks.

`guarded.py` starts it, and writes one JSON document a line to its stdin: first what it needs for a client, then one
question a line. Each line of its stdout answers one question. It ends when its stdin ends, so it never outlives the
process that started it.

It imports the Kafka client and hardly more, so that it stays small.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import resource
import signal
import sys
import threading
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

LOGIN: Final = "oauth.cb"
"""The property that names a function for tokens, as in `token_login.py`."""


def described(client: AdminClient, group: str, topic: str, rights: bool, seconds: float) -> dict[str, Any]:
    """What the coordinator says of the group, in types of JSON: its state, its members, and with `rights` ours.

    Blocks for `seconds` and one more; raises `KafkaException`, and `TimeoutError`.
    """
    asked = client.describe_consumer_groups([group], include_authorized_operations=rights, request_timeout=seconds)
    found = asked[group].result(seconds + 1)
    operations = found.authorized_operations
    return {
        "state": found.state.name,
        "assignor": found.partition_assignor or "",
        "members": [[item.client_id, item.host, _partitions_of(item, topic)] for item in found.members],
        "operations": None if operations is None else [item.name for item in operations],
    }


def _partitions_of(member: Any, topic: str) -> list[int]:
    assigned = member.assignment.topic_partitions if member.assignment is not None else ()
    return sorted(item.partition for item in assigned if item.topic == topic)


class _Asker:
    """Answers questions with one client, which is made at the first of them."""

    def __init__(self, properties: dict[str, Any]) -> None:
        self._properties = properties
        self._client: AdminClient | None = None
        self._heard: list[list[Any]] = []

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """The answer in types of JSON: `found` or `error`, and the errors that the client reported meanwhile."""
        self._heard.clear()
        answer: dict[str, Any] = {"heard": self._heard}
        try:
            self._client = self._client or self._made()
            answer["found"] = described(self._client, **question)
        except KafkaException as error:
            answer["error"] = _plain(error.args[0])
        except TimeoutError:
            answer["error"] = _plain(KafkaError(KafkaError._TIMED_OUT))
        if self._client is not None:
            self._client.poll(0)  # the library reports errors only in here, such as a wrong password
        return answer

    def _made(self) -> AdminClient:
        properties: dict[str, Any] = self._properties
        if LOGIN in properties:
            # imported only where it is used: it takes 5 MB
            from jobstatus_schemas.token_login import with_login

            properties = with_login(properties)
        silent = logging.getLogger("librdkafka")
        silent.addHandler(logging.NullHandler())
        silent.propagate = False
        callbacks: dict[str, Any] = {"logger": silent, "error_cb": self._hear}
        return AdminClient({**properties, **callbacks})

    def _hear(self, error: KafkaError) -> None:
        self._heard.append(_plain(error))


def _plain(error: KafkaError) -> list[Any]:
    """What makes an equal error again: `KafkaError(*plain)`."""
    return [error.code(), error.str(), error.fatal(), error.retriable()]


def _read(lines: queue.SimpleQueue[bytes]) -> None:
    for line in sys.stdin.buffer:
        lines.put(line)
    # at once, whatever is being asked: the process that wants the answer has ended
    os._exit(0)


def main() -> None:
    """Answer until stdin ends."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # a terminal and a supervisor send them to both; the parent's end is the end of this one
        signal.signal(number, signal.SIG_IGN)
    # an assertion that is known should not leave a core file at each outage
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.dup(1)
    os.dup2(2, 1)  # a function for tokens may print
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    start = json.loads(lines.get())
    sys.path[:] = start["path"]
    asker = _Asker(start["properties"])
    while True:
        answer = json.dumps(asker.answer(json.loads(lines.get())))
        os.write(answers, answer.encode() + b"\n")


if __name__ == "__main__":
    main()
