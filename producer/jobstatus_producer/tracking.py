"""Report the progress of a job around the code that does it: processing, then success or error."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Container
from contextlib import ExitStack, aclosing
from functools import partial
from types import TracebackType
from typing import Any, Final, NamedTuple, ParamSpec, Protocol, Self, TypeVar

from jobstatus_schemas.event import check_status

from jobstatus_producer.errors import ProducerError
from jobstatus_producer.log import logger

P = ParamSpec("P")
R = TypeVar("R")


class Decorator(Protocol):
    """A decorator that keeps the function's signature."""

    def __call__(self, function: Callable[P, R], /) -> Callable[P, R]:
        """Return the tracked function."""


class Statuses(NamedTuple):
    """The statuses to report when a job begins, ends well, and fails."""

    begun: str = "processing"
    done: str = "success"
    failed: str = "error"


STATUSES: Final = Statuses()


def check_statuses(statuses: Statuses, allowed: Container[str] | None) -> None:
    """Raise `ValueError` or `TypeError` if a report may not use one of `statuses`; the text names each of them.

    Called before the job begins. Otherwise the status for a failure would be refused when the job has failed, and that
    error would hide the job's own.
    """
    wrong = {}
    for field, word in statuses._asdict().items():
        try:
            check_status(word, allowed)
        except (TypeError, ValueError) as error:
            wrong[f"{field}={word!r}"] = error
    if wrong:
        kind = next((type(error) for error in wrong.values() if isinstance(error, TypeError)), ValueError)
        raise kind(f"{', '.join(wrong)}: {', '.join(dict.fromkeys(map(str, wrong.values())))}")


class Report(Protocol):
    """`update_job_status` of one job and attempt."""

    def __call__(self, status: str, error_message: object = None) -> None:
        """Report `status`. Raises and blocks as `update_job_status`."""


class Track:
    """A context manager for one job, for `with` and `async with`.

    An exception is reported with its text and goes on. If that report fails, the exception gets a note of it.
    """

    def __init__(self, report: Report, statuses: Statuses) -> None:
        self._report = report
        self._statuses = statuses

    def __enter__(self) -> Self:
        self._report(self._statuses.begun)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or _ends_well(error):
            self._report(self._statuses.done)
            return
        try:
            self._report(self._statuses.failed, describe(error))
        except (ProducerError, TypeError, ValueError) as unreported:
            # the job's own error is the one to raise, with a note of this one
            logger.error("a job has failed, and this status was not accepted: %s", unreported)
            error.add_note(f"jobstatus: the job's status was not accepted: {unreported}")

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


def _ends_well(error: BaseException) -> bool:
    """Whether `error` is `sys.exit()` or `sys.exit(0)`, by which a program ends successfully."""
    return isinstance(error, SystemExit) and (error.code is None or (isinstance(error.code, int) and not error.code))


def describe(error: BaseException) -> str:
    """The error message for `error`, such as `ValueError: the text`; without a text, the type's name alone."""
    name = type(error).__name__
    if isinstance(error, GeneratorExit):
        return f"{name}: closed before its end"
    try:
        text = str(error)
    except Exception as broken:  # noqa: BLE001 - a foreign __str__ may raise anything; the job's own error matters more
        text = f"<its str() raised {type(broken).__name__}>"
    return f"{name}: {text}" if text else name


def tracked(track: Callable[..., Track], job_id: str, attempt: int | str | None = None) -> Decorator:
    """A decorator that tracks each call of a function as the job whose id is in the argument called `job_id`.

    `attempt` is the attempt of every call or, as a `str`, the name of the argument with the attempt. A generator,
    asynchronous or not, is tracked from its first item to its last. One that is closed early has failed: its reader may
    have had enough or may have failed, and nothing tells which. If a call returns an awaitable, the job ends when that
    ends. Raises `TypeError` at the decoration if the function has no such argument.
    """
    import inspect  # slow to import, and only decorators need it

    def decorate(function: Callable[P, R], /) -> Callable[P, R]:
        signature = inspect.signature(function)
        for name, what in ((job_id, "the job"), (attempt, "its attempt")):
            if isinstance(name, str) and name not in signature.parameters:
                raise TypeError(f"{_name(function)}() has no argument {name!r} that could name {what}")

        def track_call(*args: P.args, **kwargs: P.kwargs) -> Track:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            if attempt is None:
                return track(bound.arguments[job_id])
            number = bound.arguments[attempt] if isinstance(attempt, str) else attempt
            return track(bound.arguments[job_id], attempt=number)

        wrapper: Callable[P, R] = functools.wraps(function)(_wrapper_of(function)(function, track_call))
        return wrapper

    return decorate


def _name(function: Callable[..., Any]) -> str:
    inner = _without_partial(function)
    return getattr(inner, "__name__", type(inner).__name__)


def _without_partial(function: Callable[..., Any]) -> Callable[..., Any]:
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _wrapper_of(function: Callable[..., Any]) -> Callable[..., Callable[..., Any]]:
    """How to track `function`: its body may run at the call, when it is awaited, or as its items are read."""
    import inspect

    body = _without_partial(function)
    if not (inspect.isroutine(body) or inspect.isclass(body)):
        # a callable object: its class's `__call__` may be a coroutine function or a generator function
        body = type(body).__call__
    if inspect.iscoroutinefunction(body):
        return _awaited
    if inspect.isasyncgenfunction(body):
        return _generated_asynchronously
    return _generated if inspect.isgeneratorfunction(body) else _called


def _called(function: Callable[..., Any], track: Callable[..., Track]) -> Callable[..., Any]:
    import inspect

    def called(*args: Any, **kwargs: Any) -> Any:
        with ExitStack() as tracking:
            tracking.enter_context(track(*args, **kwargs))
            result = function(*args, **kwargs)
            if not inspect.isawaitable(result):
                return result
            # the work is still to come: a decorator may hide that a function is a coroutine function
            return _until_its_end(result, tracking.pop_all())

    return called


def _until_its_end(work: Any, tracking: ExitStack) -> Awaitable[Any]:
    import asyncio

    if asyncio.isfuture(work):
        # a task runs even if nothing awaits it, and its caller may want to cancel it: so it is returned as it is
        work.add_done_callback(partial(_future_ended, tracking))
        return work
    return _in_context(work, tracking)


def _future_ended(tracking: ExitStack, future: Any) -> None:
    import asyncio

    error = asyncio.CancelledError() if future.cancelled() else future.exception()
    tracking.__exit__(None if error is None else type(error), error, None)


async def _in_context(work: Awaitable[Any], tracking: ExitStack) -> Any:
    with tracking:
        return await work


def _awaited(function: Callable[..., Any], track: Callable[..., Track]) -> Callable[..., Any]:
    async def awaited(*args: Any, **kwargs: Any) -> Any:
        with track(*args, **kwargs):
            return await function(*args, **kwargs)

    return awaited


def _generated(function: Callable[..., Any], track: Callable[..., Track]) -> Callable[..., Any]:
    def generated(*args: Any, **kwargs: Any) -> Any:
        with track(*args, **kwargs):
            return (yield from function(*args, **kwargs))

    return generated


def _generated_asynchronously(function: Callable[..., Any], track: Callable[..., Track]) -> Callable[..., Any]:
    async def generated(*args: Any, **kwargs: Any) -> Any:
        with track(*args, **kwargs):
            async with aclosing(function(*args, **kwargs)) as items:
                step = items.asend(None)
                while True:
                    try:
                        item = await step
                    except StopAsyncIteration:
                        return
                    # what `yield from` does, which asynchronous generators do not have
                    try:
                        step = items.asend((yield item))
                    except GeneratorExit:
                        raise
                    except BaseException as error:  # noqa: BLE001 - the function handles or raises it
                        step = items.athrow(error)

    return generated
