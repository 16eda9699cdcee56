"""Asks what the metrics show and the loop does not know, in a thread of its own: it writes nothing and costs little.

A question may read the whole table, or the dead letters. So the pause after it is so long that such questions take at
most one part in `SHARE` of the time, and of a group only the member that has partition 0 asks.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from jobstatus_consumer.errors import JobStatusError
from jobstatus_consumer.telemetry.families import Labels, LiveGauge

logger = logging.getLogger("jobstatus.consumer")

LOOK_AGAIN: Final = 1.0
"""Seconds until a member that does not ask looks whether it has partition 0 now."""
SHARE: Final = 200
JOIN_SECONDS: Final = 2.0


@dataclass(slots=True)
class _Question:
    what: str
    gauge: LiveGauge
    ask: Callable[[], Mapping[Labels, float]]
    every: float
    due: float = 0.0
    trouble: str = ""
    """what the log says of it already"""


class SlowQuestions:
    """Asks each question again and again until `close`. `is_asked` says whether this member is the one that asks.

    `interrupt` ends the question that runs, and `close_all` closes the connections; the latter runs in the thread.
    """

    def __init__(
        self, is_asked: Callable[[], bool], interrupt: Callable[[], object], close_all: Callable[[], object]
    ) -> None:
        self._questions: list[_Question] = []
        self._is_asked = is_asked
        self._interrupt = interrupt
        self._close_all = close_all
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="jobstatus-questions", daemon=True)

    def add(self, what: str, gauge: LiveGauge, ask: Callable[[], Mapping[Labels, float]], every: float) -> None:
        """Add a question before `start`. `ask` returns the gauge's series; it may block, and raise `JobStatusError`.

        `every` is in seconds: the least time from an answer to the next question. `what` is named in the log.
        """
        self._questions.append(_Question(what, gauge, ask, every))

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def stopping(self) -> bool:
        """Whether `close` was called: a question that reads for long looks at this."""
        return self._stop.is_set()

    def close(self) -> None:
        """End the thread and its connections; a question that runs is interrupted. May block for some seconds."""
        self._stop.set()
        self._interrupt()
        self._thread.join(JOIN_SECONDS)

    def _run(self) -> None:
        pause = 0.0
        try:
            while not self._stop.wait(pause):
                pause = self._ask_those_due() if self._is_asked() else self._show_nothing()
        finally:
            self._close_all()

    def _show_nothing(self) -> float:
        for item in self._questions:
            item.gauge.show({})
            item.due = 0.0
        return LOOK_AGAIN

    def _ask_those_due(self) -> float:
        """Ask, and return the seconds until the next look; not much later this member may lose partition 0."""
        for item in self._questions:
            started = time.monotonic()
            if started < item.due or self._stop.is_set():
                continue
            item.gauge.show(self._answer(item))
            ended = time.monotonic()
            item.due = ended + max(item.every, SHARE * (ended - started))
        return min(LOOK_AGAIN, *(item.every for item in self._questions))

    def _answer(self, question: _Question) -> Mapping[Labels, float]:
        """The series; none while they are not known."""
        try:
            return question.ask()
        except JobStatusError as error:
            if str(error) != question.trouble and not self._stop.is_set():
                question.trouble = str(error)
                logger.info("%s: not known for the metrics: %s", question.what, error)
            return {}
