"""Dead letters to their topic, and the broker's acknowledgement of each before anything behind it is committed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from jobstatus_consumer.config import Settings
from jobstatus_consumer.core.dead_letters import DeadLetter, sendable_time
from jobstatus_consumer.errors import DeadLetterError
from jobstatus_consumer.kafka.client import describe, make, producer_properties
from jobstatus_consumer.kafka.error_codes import DO_NOT_SEND_AGAIN

DELIVERY_SECONDS: Final = 30.0
GRACE_SECONDS: Final = 5.0


class _Sending:
    """What became of the letters of one call: those of an earlier one, given up, may yet be told."""

    def __init__(self) -> None:
        self.open = 0
        self.failed: list[KafkaError] = []

    def delivered(self, error: KafkaError | None, _message: Message) -> None:
        """One letter has ended."""
        self.open -= 1
        if error is not None:
            self.failed.append(error)


class DeadLetterSender:
    """The producer of the dead letters; made, used and polled by the thread that waits for them."""

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.dead_letter_topic
        extra = {
            # who sends hears of each letter; what happened between two letters would be told long after it has passed
            "error_cb": lambda _error: None,
            "partitioner": "murmur2_random",
            # the batch waits for the acknowledgement: to wait for more letters first is to wait for nothing
            "linger.ms": 0,
            "delivery.timeout.ms": int(DELIVERY_SECONDS * 1000),
            # a record at the topic's limit and our headers still go out; the topic has the last word
            "message.max.bytes": 16 * 1024 * 1024,
        }
        self._producer = make(Producer, producer_properties(settings, extra))

    def send(self, letters: Sequence[DeadLetter]) -> None:
        """Send `letters` and return when the broker has acknowledged every one.

        Raises `DeadLetterError`; then some may have been sent, and sending them again is right (at least once).
        """
        sending = _Sending()
        for letter in letters:
            self._produce(letter, sending)
        deadline = time.monotonic() + DELIVERY_SECONDS + GRACE_SECONDS
        while sending.open and time.monotonic() < deadline:
            self._producer.poll(0.1)
        if sending.open:
            raise DeadLetterError(f"{sending.open} dead letters to {self._topic} are not acknowledged", retriable=True)
        if sending.failed:
            self._raise(sending.failed[0], len(sending.failed))

    def _produce(self, letter: DeadLetter, sending: _Sending) -> None:
        try:
            self._producer.produce(
                self._topic,
                key=letter.key,
                value=letter.value,
                timestamp=sendable_time(letter, time.time()),
                headers=list(letter.headers),
                on_delivery=sending.delivered,
            )
        except BufferError:
            self._producer.poll(0.1)
            raise DeadLetterError("the queue for dead letters is full", retriable=True) from None
        except KafkaException as error:
            self._raise(error.args[0], 1)
        sending.open += 1

    def _raise(self, error: KafkaError, count: int) -> None:
        hopeless = error.fatal() or error.code() in DO_NOT_SEND_AGAIN
        text = f"the broker refuses {count} dead letters to {self._topic} ({describe(error)})"
        if hopeless:
            text += "; nothing behind them is committed. Is the topic there, may this client write to it, is its "
            text += "max.message.bytes larger than the events topic's, and does it take the originals' timestamps "
            text += "(message.timestamp.before.max.ms)? jobstatus check tells"
        raise DeadLetterError(text, retriable=not hopeless)

    def close(self) -> None:
        """Wait shortly for what is still on its way; whatever is not acknowledged is not committed either."""
        self._producer.flush(GRACE_SECONDS)
