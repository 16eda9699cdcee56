"""How long a group of many members takes to share its partitions anew, with each protocol.

The members are clients with the consumer's own properties in one process: they poll and write nothing, so that fifty
fit on a small machine. What is measured is what the group and the broker need; a consumer adds the time in which it
writes and commits the batch that it has.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, TopicPartition
from jobstatus_consumer.kafka.member_properties import member_defaults

from ..place import Place, child

MEMBERS: Final = 50
PARTITIONS_EACH: Final = 2
PROTOCOLS: Final = {"cooperative-sticky": {}, "consumer (KIP-848)": {"group.protocol": "consumer"}}
DEADLINE: Final = 180.0
STEADY: Final = 0.5
"""A state counts once it has lasted for so many seconds; they are not part of the time."""


class Rebalance(NamedTuple):
    """Seconds until each member has its partitions, and all partitions have a member."""

    members: int
    joined: float
    """from the start of all members at once"""
    one_more: float
    one_less: float


def measure(place: Place, members: int, say: Callable[[str], Any]) -> dict[str, Rebalance]:
    """Every protocol, in a process of its own."""
    topic = f"scale-rebalance-{members}"
    place.make_topic(topic, PARTITIONS_EACH * members)
    found = {}
    for name, properties in PROTOCOLS.items():
        env = place.environment(topic, 50, place.stack.postgres.url)
        given = {**properties, "bootstrap.servers": place.stack.kafka.bootstrap_servers}
        arguments = [topic, str(members), json.dumps(given)]
        found[name] = Rebalance(**json.loads(child("scale.rebalance", arguments, env).splitlines()[-1]))
        say(f"  rebalance, {name}: {found[name]}")
    return found


class _Member:
    """A client that polls in a thread of its own."""

    def __init__(self, topic: str, group: str, properties: dict[str, str]) -> None:
        self.partitions: set[int] = set()
        self._stop = threading.Event()
        fixed = {"group.id": group, "enable.auto.commit": False, "enable.auto.offset.store": False}
        self._client = Consumer({**member_defaults(properties), **fixed, **properties})
        self._client.subscribe([topic], on_assign=self._got, on_revoke=self._lost, on_lost=self._lost)
        self._thread = threading.Thread(target=self._poll)
        self._thread.start()

    def close(self) -> None:
        """Leave the group."""
        self._stop.set()
        self._thread.join()

    def _poll(self) -> None:
        while not self._stop.is_set():
            self._client.poll(0.1)
        self._client.close()

    def _got(self, client: Consumer, given: Sequence[TopicPartition]) -> None:
        self.partitions |= {item.partition for item in given}
        client.incremental_assign(list(given))

    def _lost(self, client: Consumer, given: Sequence[TopicPartition]) -> None:
        self.partitions -= {item.partition for item in given}
        client.incremental_unassign(list(given))


def _shared(members: Sequence[_Member], partitions: int) -> bool:
    """Whether every partition has one member, and no member has two more than another."""
    sizes = [len(member.partitions) for member in members]
    every = set().union(*(member.partitions for member in members))
    return sum(sizes) == partitions == len(every) and max(sizes) - min(sizes) <= 1


def _seconds_until_shared(members: Sequence[_Member], partitions: int, began: float) -> float:
    """The time from `began` until the partitions are shared and stay so."""
    since: float | None = None
    while time.perf_counter() - began < DEADLINE:
        now = time.perf_counter()
        if not _shared(members, partitions):
            since = None
        elif since is None:
            since = now
        elif now - since > STEADY:
            return round(since - began, 2)
        time.sleep(0.01)
    raise RuntimeError(f"the partitions were not shared within {DEADLINE:.0f} s")


@contextmanager
def _closing(members: list[_Member]) -> Iterator[list[_Member]]:
    try:
        yield members
    finally:
        for member in members:
            member.close()


def measure_group(topic: str, number: int, properties: dict[str, str]) -> Rebalance:
    """Start all members at once, then one more, then end the first one. Blocks until all have left the group."""
    group, partitions = f"rebalance-{uuid.uuid4()}", PARTITIONS_EACH * number
    with _closing([]) as members:
        began = time.perf_counter()
        members += [_Member(topic, group, properties) for _ in range(number)]
        joined = _seconds_until_shared(members, partitions, began)
        began = time.perf_counter()
        members.append(_Member(topic, group, properties))
        one_more = _seconds_until_shared(members, partitions, began)
        gone = members.pop(0)
        began = time.perf_counter()
        gone.close()
        one_less = _seconds_until_shared(members, partitions, began)
    return Rebalance(number, joined, one_more, one_less)


def main() -> None:
    found = measure_group(sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]))
    print(json.dumps(found._asdict()))


if __name__ == "__main__":
    main()
