"""A decorated generator, asynchronous or not, is one job from its first item to its last."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import aclosing

import pytest
from jobstatus_producer.tracking import tracked
from support.tracking import BEGUN, CLOSED, DONE, Jobs


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


def test_a_generator_is_a_success_when_it_is_exhausted(jobs: Jobs) -> None:
    @tracked(jobs.track, "job_id")
    def items(job_id: str) -> Generator[int, str, str]:
        received = yield 1
        yield 2
        return received

    running = items("j")
    assert (inspect.isgeneratorfunction(items), jobs.reports) == (True, [])
    assert next(running) == 1
    assert jobs.reports == [BEGUN]
    assert running.send("sent") == 2
    assert jobs.reports == [BEGUN]
    with pytest.raises(StopIteration, match="sent"):
        next(running)
    assert jobs.reports == [BEGUN, DONE]


def test_a_generator_that_raises_is_an_error(jobs: Jobs) -> None:
    @tracked(jobs.track, "job_id")
    def items(job_id: str) -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        list(items("j"))
    assert jobs.reports == [BEGUN, ("error", "ValueError: no more")]


def test_a_generator_that_is_closed_early_is_an_error(jobs: Jobs) -> None:
    @tracked(jobs.track, "job_id")
    def items(job_id: str) -> Generator[int, None, None]:
        yield from range(9)

    running = items("j")
    assert next(running) == 0
    running.close()
    assert jobs.reports == [BEGUN, CLOSED]


def test_an_asynchronous_generator_is_a_success_when_it_is_exhausted(jobs: Jobs) -> None:
    received: list[object] = []

    @tracked(jobs.track, "job_id")
    async def items(job_id: str) -> AsyncGenerator[int, str]:
        received.append((yield 1))
        try:
            yield 2
        except KeyError as error:
            received.append(error.args[0])
        yield 3

    async def read() -> None:
        running = items("j")
        assert jobs.reports == []
        assert await anext(running) == 1
        assert await running.asend("sent") == 2
        assert await running.athrow(KeyError("thrown")) == 3
        assert jobs.reports == [BEGUN]
        assert [item async for item in running] == []

    asyncio.run(read())
    assert inspect.isasyncgenfunction(items)
    assert received == ["sent", "thrown"]
    assert jobs.reports == [BEGUN, DONE]


def test_an_asynchronous_generator_that_raises_is_an_error(jobs: Jobs) -> None:
    @tracked(jobs.track, "job_id")
    async def items(job_id: str) -> AsyncIterator[int]:
        yield 1
        raise ValueError("no more")

    async def read() -> list[int]:
        return [item async for item in items("j")]

    with pytest.raises(ValueError, match="no more"):
        asyncio.run(read())
    assert jobs.reports == [BEGUN, ("error", "ValueError: no more")]


def test_an_asynchronous_generator_that_is_closed_early_is_an_error_and_cleans_up(jobs: Jobs) -> None:
    cleaned: list[bool] = []

    @tracked(jobs.track, "job_id")
    async def items(job_id: str) -> AsyncGenerator[int, None]:
        try:
            yield 1
            yield 2
        finally:
            cleaned.append(jobs.reports == [BEGUN])

    async def read() -> None:
        async with aclosing(items("j")) as running:
            assert await anext(running) == 1

    asyncio.run(read())
    assert (cleaned, jobs.reports) == ([True], [BEGUN, CLOSED])
