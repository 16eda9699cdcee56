"""Questions that block, asked in a few threads, so that no page blocks the event loop or waits without a limit."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

from jobstatus_consumer.errors import JobStatusError

THREADS: Final = 8
WAITING: Final = 64
"""How many questions may wait for a thread."""

T = TypeVar("T")


class BusyError(JobStatusError):
    """Too many questions wait already: ask again later."""


class TooSlowError(JobStatusError):
    """There was no answer in time."""


class _Question:
    def __init__(self, ask: Callable[[], Any], loop: asyncio.AbstractEventLoop) -> None:
        self.ask = ask
        self._loop = loop
        self.answer: asyncio.Future[Any] = loop.create_future()

    def run(self) -> None:
        if self.answer.done():
            return  # nobody waits any more
        try:
            result = self.ask()
        except Exception as error:  # noqa: BLE001 - the page raises it again
            self._hand_over(self._fail, error)
        else:
            self._hand_over(self._succeed, result)

    def _hand_over(self, how: Callable[[Any], None], what: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(how, what)
        except RuntimeError:
            return  # the loop was closed meanwhile: the console ends

    def _succeed(self, result: Any) -> None:
        if not self.answer.done():
            self.answer.set_result(result)

    def _fail(self, error: BaseException) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class Questions:
    """A few threads for questions. They are daemons: one that waits for an answer does not keep the process."""

    def __init__(self, threads: int = THREADS, waiting: int = WAITING) -> None:
        self._queue: queue.Queue[_Question | None] = queue.Queue(waiting)
        self._threads = [
            threading.Thread(target=self._run, name=f"jobstatus-console-question-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    async def ask(self, question: Callable[[], T], seconds: float) -> T:
        """Return the answer, or raise what `question` raises.

        Raises `BusyError` at once if too many wait, and `TooSlowError` after `seconds`; the question then ends by its
        own limits.
        """
        asked = _Question(question, asyncio.get_running_loop())
        try:
            self._queue.put_nowait(asked)
        except queue.Full:
            raise BusyError("the console is busy; nothing was asked. Try again in a moment") from None
        try:
            result: T = await asyncio.wait_for(asked.answer, seconds)
        except TimeoutError:
            raise TooSlowError(f"there was no answer within {seconds:g} s") from None
        return result

    def close(self) -> None:
        """Take no more questions. Does not wait for those that are being asked; those behind them time out."""
        while not self._queue.empty():
            with suppress(queue.Empty):
                self._queue.get_nowait()
        for _ in self._threads:
            try:
                self._queue.put_nowait(None)
            except queue.Full:
                return

    def _run(self) -> None:
        while (question := self._queue.get()) is not None:
            question.run()
