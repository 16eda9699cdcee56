"""Questions that block: bounded threads, bounded waits, sessions that are used again, and watches that go on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest
from jobstatus_consumer.console.pool import Pool
from jobstatus_consumer.console.questions import BusyError, Questions, TooSlowError
from jobstatus_consumer.console.watch import Watch
from jobstatus_consumer.errors import JobStatusError
from support.waiting import until


@pytest.fixture
def questions() -> Iterator[Questions]:
    found = Questions(threads=1, waiting=1)
    yield found
    found.close()


def test_an_answer_and_an_error_come_back(questions: Questions) -> None:
    def refuse() -> None:
        raise JobStatusError("no")

    async def ask() -> int:
        with pytest.raises(JobStatusError, match="no"):
            await questions.ask(refuse, 30)
        return await questions.ask(lambda: 7, 30)

    assert asyncio.run(ask()) == 7


def test_a_question_without_an_answer_is_given_up_and_those_beyond_the_queue_are_refused(questions: Questions) -> None:
    free, begun = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        free.wait(60)

    async def ask() -> None:
        first = asyncio.create_task(questions.ask(wait, 60))
        while not begun.is_set():
            await asyncio.sleep(0.01)
        with pytest.raises(TooSlowError):
            await questions.ask(lambda: None, 0.05)
        with pytest.raises(BusyError):
            await questions.ask(lambda: None, 60)
        free.set()
        await first

    asyncio.run(ask())


def test_the_threads_end_although_questions_wait_for_them() -> None:
    """A full queue has no room for the word that they should end."""
    before = set(threading.enumerate())
    questions = Questions(threads=1, waiting=1)
    own = set(threading.enumerate()) - before
    free, begun = threading.Event(), threading.Event()
    asked: list[str] = []

    def wait() -> None:
        begun.set()
        free.wait(60)

    async def ask() -> None:
        first = asyncio.create_task(questions.ask(wait, 60))
        while not begun.is_set():
            await asyncio.sleep(0.01)
        behind = asyncio.create_task(questions.ask(lambda: asked.append("behind"), 0.5))
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await questions.ask(lambda: None, 60)
        questions.close()
        free.set()
        await first
        with pytest.raises(TooSlowError):
            await behind

    asyncio.run(ask())
    until(lambda: own and not any(thread.is_alive() for thread in own), "its thread has ended")
    assert asked == []


class Line:
    """What a pool keeps."""

    def __init__(self) -> None:
        self.closed = False

    def __exit__(self, *_: object) -> None:
        self.closed = True


def made_lines() -> tuple[list[Line], Callable[[], Line]]:
    made: list[Line] = []

    def make() -> Line:
        made.append(Line())
        return made[-1]

    return made, make


def test_a_session_is_used_again_until_it_fails() -> None:
    made, make = made_lines()
    pool = Pool(make)
    assert pool.use(lambda line: line) is pool.use(lambda line: line) is made[0]

    def fails_if_old(line: Line) -> Line:
        if line is made[0]:
            raise JobStatusError("the server has gone")
        return line

    assert pool.use(fails_if_old) is made[1]
    assert [line.closed for line in made] == [True, False]
    pool.close()
    assert made[1].closed


def test_a_new_session_that_fails_is_an_error_and_is_closed() -> None:
    made, make = made_lines()

    def fail(_line: Line) -> None:
        raise JobStatusError("no")

    with pytest.raises(JobStatusError):
        Pool(make).use(fail)
    assert [line.closed for line in made] == [True]


def test_what_is_in_use_at_the_end_is_closed_after_its_work() -> None:
    made, make = made_lines()
    pool = Pool(make)
    pool.use(lambda _line: pool.close())
    assert [line.closed for line in made] == [True]


def test_a_watch_keeps_its_last_answer_while_it_gets_none_and_goes_on() -> None:
    answers: list[int | None] = [1, None, 2]
    ended = threading.Event()

    def ask() -> int:
        answer = answers[0] if len(answers) == 1 else answers.pop(0)
        if answer is None:
            raise JobStatusError("away")
        return answer

    told: list[tuple[int | None, bool]] = []
    watch = Watch(
        "test",
        ask,
        every=0.01,
        told=lambda: told.append((watch.seen.value, watch.seen.problem is None)),
        end=ended.set,
    )
    assert not watch.seen.asked
    watch.start()
    until(lambda: len(told) > 3, "it has asked")
    watch.close()
    watch.join(30)
    assert told[:3] == [(1, True), (1, False), (2, True)]
    assert ended.is_set()
