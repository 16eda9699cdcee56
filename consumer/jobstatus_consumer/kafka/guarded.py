"""Asks a group's coordinator in a child process, so that a failed assertion of librdkafka ends the child alone."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final, Self

from confluent_kafka import KafkaError, KafkaException

from jobstatus_consumer.config import Settings
from jobstatus_consumer.errors import CoordinatorAwayError, StopRequestedError
from jobstatus_consumer.kafka.asking_child import AskingChild, ChildEndedError
from jobstatus_consumer.kafka.client import admin_properties
from jobstatus_consumer.kafka.coordinator import GroupFacts
from jobstatus_consumer.kafka.renewing import NewCertificates

logger = logging.getLogger("jobstatus.kafka")

SECONDS: Final = 4.0
"""How long a question may take: a coordinator answers in milliseconds, and a broker that was lost does not answer."""
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0
"""Seconds from the end of a child to the start of the next one; the pause doubles until a child answers."""
MORE_SECONDS: Final = 3.0
"""How much longer than its question a child may take: it starts, and it looks for the coordinator."""


class GuardedCoordinator:
    """A `Coordinator` that asks in a child process; a context manager. For any thread; one question at a time.

    The child is started at the first question, and after its end at the first question after a pause.
    `seconds` is how long a question may take.
    """

    def __init__(self, settings: Settings, *, seconds: float = SECONDS) -> None:
        self._settings = settings
        self._seconds = seconds
        self._asking = threading.Lock()
        self._child: AskingChild | None = None
        self._certificates = NewCertificates(settings)
        self._pause = FIRST_PAUSE
        self._not_before = 0.0
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The child's process id; None while there is no child."""
        child = self._child
        return None if child is None else child.pid

    def describe(self, group: str, topic: str, *, rights: bool, heard: Callable[[KafkaError], object]) -> GroupFacts:
        """As `Coordinator.describe`; raises `CoordinatorAwayError` if no child answers."""
        limit = self._seconds + MORE_SECONDS
        if not self._asking.acquire(timeout=limit):
            raise _unknown(group, "other questions to its coordinator have no answer yet")
        try:
            child = self._running(group)
            answer = child.ask({"group": group, "topic": topic, "rights": rights, "seconds": self._seconds}, limit)
        except ChildEndedError as error:
            raise self._lost(group, error) from None
        except BaseException:
            self._forget()  # its answer may still come, and would be taken for that of the next question
            raise
        finally:
            self._asking.release()
        self._pause = FIRST_PAUSE
        for plain in answer["heard"]:
            heard(KafkaError(*plain))
        if "error" in answer:
            raise KafkaException(KafkaError(*answer["error"]))
        return GroupFacts.of(answer["found"])

    def close(self) -> None:
        """End the child, and every question that waits for it. Blocks for a moment."""
        self._closed = True
        child = self._child
        if child is not None:
            child.end()
            with self._asking:
                self._forget()

    def _running(self, group: str) -> AskingChild:
        if self._closed:
            raise _stopped()
        properties = {name: value for name, value in admin_properties(self._settings).items() if name != "logger"}
        if self._child is not None and (self._child.properties != properties or self._certificates.accepted):
            self._forget()  # a file with one of them, or with a certificate, has changed
        if self._child is None:
            wait = self._not_before - time.monotonic()
            if wait > 0:
                raise _unknown(group, f"the process that asks for it has ended, and is started again in {wait:.1f} s")
            self._certificates = NewCertificates(self._settings)
            self._child = AskingChild(properties)
        return self._child

    def _lost(self, group: str, error: ChildEndedError) -> Exception:
        self._forget()
        if self._closed:
            return _stopped()
        wait, self._pause = self._pause, min(2 * self._pause, LONGEST_PAUSE)
        self._not_before = time.monotonic() + wait
        logger.warning("the process that asks the group's coordinator %s; it is started again in %g s", error, wait)
        return _unknown(group, f"the process that asks for it {error}, and is started again in {wait:g} s")

    def _forget(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.end()
            child.forget()


def _unknown(group: str, why: str) -> CoordinatorAwayError:
    return CoordinatorAwayError(f"the group {group} is not known now: {why}")


def _stopped() -> StopRequestedError:
    return StopRequestedError("stopped before the group's coordinator answered")
