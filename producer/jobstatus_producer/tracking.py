"""Report a job's course around the code that does it: processing, then success or error."""

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
    """Keeps the function's signature."""

    def __call__(self, function: Callable[P, R], /) -> Callable[P, R]:
        """The tracked function."""


class Statuses(NamedTuple):
    """The application's words for a job that is begun, done, and failed."""

    begun: str = "processing"
    done: str = "success"
    failed: str = "error"


STATUSES: Final = Statuses()


def check_statuses(statuses: Statuses, allowed: Container[str] | None) -> None:
    """Raise `ValueError` or `TypeError`, naming each word that no report may use, before there is anything to report.

    The word for a failure would otherwise be refused when a job has failed, and hide what the job itself raised.
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
    """`update_job_status` with the job's id and attempt already given."""

    def __call__(self, status: str, error_message: object = None) -> None:
        """Report `status`."""


class Track:
    """A context manager, also for `async with`. An exception is reported with its text and goes on its way."""

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
            # the job's own error is the one to raise; this one travels with it
            logger.error("a failed job's status was not accepted: %s", unreported)
            error.add_note(f"jobstatus: the job's status was not accepted: {unreported}")

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


def _ends_well(error: BaseException) -> bool:
    """Whether it is `sys.exit()` or `sys.exit(0)`, by which a process says that all went well."""
    return isinstance(error, SystemExit) and (error.code is None or (isinstance(error.code, int) and not error.code))


def describe(error: BaseException) -> str:
    """`ValueError: the text`, or the type's name alone where there is no text that can be had."""
    name = type(error).__name__
    if isinstance(error, GeneratorExit):
        return f"{name}: closed before its end"
    try:
        text = str(error)
    except Exception as broken:  # noqa: BLE001 - somebody's __str__; the job's own error matters more
        text = f"<its str() raised {type(broken).__name__}>"
    return f"{name}: {text}" if text else name


def tracked(track: Callable[..., Track], job_id: str, attempt: int | str | None = None) -> Decorator:
    """A decorator: each call of the function is tracked as the job that its argument `job_id` names.

    `attempt` is given to each `track`; as a text it is the name of the argument that has it. A generator, asynchronous
    or not, is tracked from its first item to its last; one that is closed before its end has failed, for nobody can
    tell whether its reader had enough or ran into an error. Where a call gives something to be awaited, the job ends
    with that.
    """
    import inspect  # takes longer to load than the rest of this package, and only decorators need it

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
    """What tracks a call of `function`: its body may run at the call, be awaited, or run as its items are asked for."""
    import inspect

    body = _without_partial(function)
    if not (inspect.isroutine(body) or inspect.isclass(body)):
        # an object runs its class's `__call__`, which may be any of these
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
            # the work is still to come: under another decorator a coroutine looks like any function
            return _until_its_end(result, tracking.pop_all())

    return called


def _until_its_end(work: Any, tracking: ExitStack) -> Awaitable[Any]:
    import asyncio

    if asyncio.isfuture(work):
        # a task runs whether anybody awaits it or not, and its caller may want to cancel it
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
                    # as `yield from` would do it, which there is not for these
                    try:
                        step = items.asend((yield item))
                    except GeneratorExit:
                        raise
                    except BaseException as error:  # noqa: BLE001 - the function's own to handle, or to raise
                        step = items.athrow(error)

    return generated
