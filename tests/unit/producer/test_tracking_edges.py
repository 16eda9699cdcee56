"""`track` and `tracked` around what is not a plain function, and around ends that are not plain either."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import aclosing

import pytest
from jobstatus_producer.tracking import STATUSES, Statuses, Track, check_statuses, tracked

CLOSED = ("error", "GeneratorExit: closed before its end")


class Jobs:
    """`JobStatusProducer.track` without a producer."""

    def __init__(self) -> None:
        self.reports: list[tuple[str, object]] = []
        self.attempts: list[tuple[object, object]] = []

    def track(self, job_id: object, *, attempt: int | None = None) -> Track:
        self.attempts.append((job_id, attempt))
        return Track(self.report, STATUSES)

    def report(self, status: str, error_message: object = None) -> None:
        self.reports.append((status, error_message))


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


BEGUN, DONE = ("processing", None), ("success", None)


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


def test_an_object_with_an_asynchronous_call_is_tracked_until_it_ends(jobs: Jobs) -> None:
    class Convert:
        async def __call__(self, job_id: str) -> str:
            await asyncio.sleep(0)
            assert jobs.reports == [BEGUN]
            return job_id

    for convert in (Convert(), functools.partial(Convert())):
        jobs.reports.clear()
        assert asyncio.run(tracked(jobs.track, "job_id")(convert)("j")) == "j"
        assert jobs.reports == [BEGUN, DONE]


def test_a_class_is_tracked_as_it_is_made_whatever_its_objects_do_when_called(jobs: Jobs) -> None:
    class Convert:
        def __init__(self, job_id: str) -> None:
            self.job_id = job_id

        async def __call__(self) -> None:
            """Not what is tracked."""

    assert tracked(jobs.track, "job_id")(Convert)("j").job_id == "j"
    assert jobs.reports == [BEGUN, DONE]


def test_a_partial_is_tracked_like_its_function(jobs: Jobs) -> None:
    def convert(path: str, job_id: str) -> str:
        return path + job_id

    assert tracked(jobs.track, "job_id")(functools.partial(convert, "a"))("j") == "aj"
    assert jobs.attempts == [("j", None)]
    with pytest.raises(TypeError, match=r"^convert\(\) has no argument 'job_id' that could name the job$"):
        tracked(jobs.track, "job_id")(functools.partial(convert, "a", "j"))


@pytest.mark.parametrize("code", [None, 0, False])
def test_an_exit_that_says_all_went_well_is_a_success(jobs: Jobs, code: int | None) -> None:
    with pytest.raises(SystemExit), jobs.track("j"):
        sys.exit(code)
    assert jobs.reports == [BEGUN, DONE]


@pytest.mark.parametrize("code", [1, "no input", ""])
def test_another_exit_is_an_error(jobs: Jobs, code: int | str) -> None:
    with pytest.raises(SystemExit), jobs.track("j"):
        sys.exit(code)
    assert [status for status, _ in jobs.reports] == ["processing", "error"]


def test_a_word_that_is_not_allowed_does_not_hide_the_jobs_own_error() -> None:
    def report(status: str, error_message: object = None) -> None:
        if status == "error":
            raise ValueError("status: not one of the allowed words")

    with pytest.raises(KeyError) as caught, Track(report, STATUSES):
        raise KeyError("the job's own")
    (note,) = caught.value.__notes__
    assert note == "jobstatus: the job's status was not accepted: status: not one of the allowed words"


def test_every_word_that_no_report_may_use_is_named_at_once() -> None:
    check_statuses(STATUSES, None)
    check_statuses(STATUSES, frozenset(STATUSES))
    with pytest.raises(ValueError, match=r"^done='success', failed='error': status: not one of .* \(processing\)$"):
        check_statuses(STATUSES, frozenset(["processing"]))
    with pytest.raises(ValueError, match=r"^begun='': status: empty"):
        check_statuses(Statuses(begun=""), None)
    with pytest.raises(TypeError, match=r"^failed=3: status: wanted str"):
        check_statuses(Statuses(failed=3), None)  # type: ignore[arg-type]


def test_an_attempt_is_one_for_all_calls_or_the_argument_that_has_it(jobs: Jobs) -> None:
    def convert(job_id: str, tries: int | None = None) -> None:
        """Nothing to do."""

    tracked(jobs.track, "job_id", 3)(convert)("a")
    tracked(jobs.track, "job_id", "tries")(convert)("b", 4)
    tracked(jobs.track, "job_id", "tries")(convert)("c")
    assert jobs.attempts == [("a", 3), ("b", 4), ("c", None)]
    with pytest.raises(TypeError, match=r"^convert\(\) has no argument 'attempt' that could name its attempt$"):
        tracked(jobs.track, "job_id", "attempt")(convert)


def passed_on(function: Callable[[str], Awaitable[str]]) -> Callable[[str], Awaitable[str]]:
    """A decorator that knows nothing of coroutines: what it makes is a plain function that returns one."""

    @functools.wraps(function)
    def call(job_id: str) -> Awaitable[str]:
        return function(job_id)

    return call


async def work(job_id: str) -> str:
    await asyncio.sleep(0)
    if job_id == "bad":
        raise ValueError("boom")
    return job_id


class Later:
    """Something to be awaited that is no coroutine."""

    def __init__(self, job_id: str) -> None:
        self._job_id = job_id

    def __await__(self) -> Generator[object, None, str]:
        return work(self._job_id).__await__()


@pytest.mark.parametrize("function", [passed_on(work), staticmethod(work), Later], ids=["wrapped", "static", "later"])
@pytest.mark.parametrize("job", ["good", "bad"])
def test_what_gives_something_to_be_awaited_is_tracked_until_that_ends(
    jobs: Jobs, function: Callable[[str], Awaitable[str]], job: str
) -> None:
    tracked_function = tracked(jobs.track, "job_id")(function)

    async def run() -> str:
        pending = tracked_function(job)
        assert jobs.reports == [BEGUN]
        return await pending

    if job == "good":
        assert asyncio.run(run()) == "good"
        assert jobs.reports == [BEGUN, DONE]
    else:
        with pytest.raises(ValueError, match="boom"):
            asyncio.run(run())
        assert jobs.reports == [BEGUN, ("error", "ValueError: boom")]


@pytest.mark.parametrize(
    ("job", "cancelled", "end"),
    [
        ("good", False, DONE),
        ("bad", False, ("error", "ValueError: boom")),
        ("good", True, ("error", "CancelledError")),
    ],
)
def test_a_task_stays_a_task_and_is_tracked_until_it_ends(
    jobs: Jobs, job: str, cancelled: bool, end: tuple[str, object]
) -> None:
    @tracked(jobs.track, "job_id")
    def submit(job_id: str) -> asyncio.Task[str]:
        return asyncio.get_running_loop().create_task(work(job_id))

    async def run() -> None:
        task = submit(job)
        assert jobs.reports == [BEGUN]
        if cancelled:
            task.cancel()
        await asyncio.wait((task,))
        # what is called at a task's end is called in the order in which it was asked for
        await asyncio.sleep(0)

    asyncio.run(run())
    assert jobs.reports == [BEGUN, end]
