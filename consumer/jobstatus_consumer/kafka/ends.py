"""The ends of the partitions, asked for every few seconds: of a paused partition no fetch says where it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka import KafkaException

ASK_EVERY: Final = 5.0
"""Seconds between two questions."""
GIVE_UP_AFTER: Final = 30.0
"""Seconds after which a question has no answer any more: a client that was replaced meanwhile never gives one."""

Question = Callable[[list[int]], Mapping[int, Future[Any]]]


class EndOffsets:
    """The last answers to the question where the partitions of a topic end. Nothing here blocks or raises.

    `ask` sends the question for some partitions and returns a future for each, whose result has an `offset`.
    """

    def __init__(self, ask: Question, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._clock = clock
        self._asked_at = -ASK_EVERY
        self._asked: Mapping[int, Future[Any]] = {}
        self._ends: dict[int, int] = {}

    def watch(self, partitions: Iterable[int]) -> None:
        """Collect the answers to the last question, and ask again when it is time to."""
        late = self._clock() - self._asked_at >= GIVE_UP_AFTER
        if late or all(answer.done() for answer in self._asked.values()):
            self._ends.update(_answers(self._asked))
            self._asked = {}
        numbers = list(partitions)
        if numbers and not self._asked and self._clock() - self._asked_at >= ASK_EVERY:
            self._asked_at = self._clock()
            self._asked = self._ask(numbers)

    def of(self, partition: int) -> int:
        """The end of the partition a few seconds ago: the offset after its last record; 0 if it is not known."""
        return self._ends.get(partition, 0)


def _answers(asked: Mapping[int, Future[Any]]) -> Mapping[int, int]:
    found = {}
    for number, answer in asked.items():
        if not answer.done():
            continue
        try:
            found[number] = int(answer.result(0).offset)
        except KafkaException:
            continue  # the next question may be answered
    # the library reports a leader that did not answer with a negative offset
    return {number: offset for number, offset in found.items() if offset >= 0}
