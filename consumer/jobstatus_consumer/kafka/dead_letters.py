"""Sends dead letters, and waits for the broker's acknowledgement of each: no offset behind one is committed before."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from jobstatus_consumer.config import Settings
from jobstatus_consumer.core import DeadLetter, as_reference, sendable_time
from jobstatus_consumer.errors import DeadLetterError
from jobstatus_consumer.kafka.client import describe, make, producer_properties
from jobstatus_consumer.kafka.error_codes import DO_NOT_SEND_AGAIN, NOT_ALLOWED, TOO_LARGE
from jobstatus_consumer.kafka.renewing import Renewing
from jobstatus_consumer.kafka.rights import Right
from jobstatus_consumer.words import counted

DELIVERY_SECONDS: Final = 30.0
"""How long librdkafka tries to deliver a dead letter."""
GRACE_SECONDS: Final = 5.0
"""How much longer its answer is awaited; and how long closing may take."""
STEP_SECONDS: Final = 0.1

DEFAULTS: Final = {
    # `send` reports each failure; an error between two calls of it would be reported long after it has passed
    "error_cb": lambda _error: None,
    "partitioner": "murmur2_random",
    # the topic's limit counts compressed bytes, as that of the events' topic does
    "compression.type": "gzip",
    # the batch waits for the acknowledgement, so waiting for more dead letters first only costs time
    "linger.ms": 0,
    "delivery.timeout.ms": int(DELIVERY_SECONDS * 1000),
    # larger than an event at its topic's limit with our headers; the broker enforces the topic's own limit
    "message.max.bytes": 16 * 1024 * 1024,
}

TooLarge = tuple[DeadLetter, KafkaError]
"""A dead letter, and how the broker or the client refused it for its size."""


class DeadLetterSender:
    """The producer of the dead letters. One thread makes, uses and closes it."""

    def __init__(
        self,
        settings: Settings,
        *,
        make_client: Callable[[dict[str, Any]], Producer] = Producer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._topic = settings.dead_letter_topic
        self._clock = clock
        self._clients = Renewing(settings, lambda: make(make_client, producer_properties(settings, DEFAULTS)))

    def send(self, letters: Sequence[DeadLetter]) -> None:
        """Send `letters` and block until the broker has acknowledged every one.

        One that is too large for the topic is sent again alone, and then as a reference to its original. Blocks for
        35 s at most, and as long again for each that is too large. Raises `DeadLetterError`. Some may have been sent
        even then; sending all of them again is right.
        """
        too_large = self._deliver(letters)
        if not any(as_reference(letter) for letter, _ in too_large):
            self._refuse(too_large)
        for letter, _ in too_large:
            # in a batch with a large one, the broker refuses the small ones as well
            if self._deliver([letter]):
                reference = as_reference(letter)
                self._refuse(self._deliver([reference or letter]))

    def _deliver(self, letters: Sequence[DeadLetter]) -> list[TooLarge]:
        """Send `letters`, and return those that the topic refuses for their size."""
        delivery = _Delivery(self._clients.get(), self._topic)
        for letter in letters:
            delivery.hand_over(letter)
        delivery.wait(self._clock() + DELIVERY_SECONDS + GRACE_SECONDS, self._clock)
        return delivery.too_large

    def _refuse(self, too_large: Sequence[TooLarge]) -> None:
        if too_large:
            raise _refused(self._topic, too_large[0][1], len(too_large))

    def close(self) -> None:
        """Block until no dead letter is open, for 5 s at most. A batch whose dead letter is open comes again later."""
        self._clients.get().flush(GRACE_SECONDS)


class _Delivery:
    """The dead letters of one `send`: handed over to the library, awaited, and given up at a deadline.

    The library may report on one that was given up during a later `send`; each call counts its own only.
    """

    def __init__(self, producer: Producer, topic: str) -> None:
        self._producer = producer
        self._topic = topic
        self._open = 0
        self._failed: list[KafkaError] = []
        self.too_large: list[TooLarge] = []

    def hand_over(self, letter: DeadLetter) -> None:
        """Give a dead letter to the library; raises `DeadLetterError` if it does not accept it."""
        try:
            self._producer.produce(
                self._topic,
                key=letter.key,
                value=letter.value,
                timestamp=sendable_time(letter, time.time()),
                headers=list(letter.headers),
                on_delivery=partial(self._ended, letter),
            )
        except BufferError:
            self._poll()
            raise DeadLetterError("the queue for dead letters is full", retriable=True) from None
        except KafkaException as error:
            if error.args[0].code() not in TOO_LARGE:
                raise _refused(self._topic, error.args[0], 1) from None
            self.too_large.append((letter, error.args[0]))
            return
        self._open += 1

    def wait(self, deadline: float, clock: Callable[[], float]) -> None:
        """Block until all have ended; raises `DeadLetterError` if one failed, or if one is still open at `deadline`."""
        while self._open and clock() < deadline:
            self._poll()
        if self._open:
            raise DeadLetterError(f"{self._open} dead letters to {self._topic} are not acknowledged", retriable=True)
        if self._failed:
            raise _refused(self._topic, self._failed[0], len(self._failed))

    def _poll(self) -> None:
        """Run the callbacks. The library raises a final error of the client here, such as that it may not write."""
        try:
            self._producer.poll(STEP_SECONDS)
        except KafkaException as error:
            raise _refused(self._topic, error.args[0], max(1, self._open)) from None

    def _ended(self, letter: DeadLetter, error: KafkaError | None, _message: Message) -> None:
        self._open -= 1
        if error is None:
            return
        if error.code() in TOO_LARGE:
            self.too_large.append((letter, error))
        else:
            self._failed.append(error)


def _refused(topic: str, error: KafkaError, count: int) -> DeadLetterError:
    retriable = not error.fatal() and error.code() not in DO_NOT_SEND_AGAIN
    text = f"the broker refuses {counted(count, 'dead letter')} to {topic} ({describe(error)})"
    if error.code() in NOT_ALLOWED:
        right = Right.on_topic(topic, "WRITE")
        return DeadLetterError(
            f"{text}: this client has no right {right}; nothing behind them is committed. Give it: {right.remedy}",
            retriable=False,
        )
    if not retriable:
        text += (
            "; nothing behind them is committed. Is the topic there, may this client write to it, is its "
            "max.message.bytes larger than that of the events' topic, and does it accept the events' timestamps "
            "(message.timestamp.before.max.ms)? To look for the cause: jobstatus check"
        )
    return DeadLetterError(text, retriable=retriable)
