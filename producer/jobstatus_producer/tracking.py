"""Report a job's course around the code that does it: processing, then success or error."""

from __future__ import annotations

import functools
from collections.abc import Callable, Container
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

    The word for a failure would otherwise be refused when there is one, and this one first in a job's place.
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
        if error is None:
            self._report(self._statuses.done)
            return
        try:
            self._report(self._statuses.failed, describe(error))
        except ProducerError as unreported:
            # the job's own error is the one to raise; this one travels with it
            logger.error("a failed job's status was not accepted: %s", unreported)
            error.add_note(f"jobstatus: the job's status was not accepted: {unreported}")

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


def describe(error: BaseException) -> str:
    """`ValueError: the text`, or the type's name alone where there is no text that can be had."""
    name = type(error).__name__
    try:
        text = str(error)
    except Exception as broken:  # noqa: BLE001 - somebody's __str__; the job's own error matters more
        text = f"<its str() raised {type(broken).__name__}>"
    return f"{name}: {text}" if text else name


def tracked(track: Callable[[Any], Track], job_id: str) -> Decorator:
    """A decorator: each call of the function is tracked as the job that its argument `job_id` names."""

    import inspect  # takes longer to load than the rest of this package, and only decorators need it

    def decorate(function: Callable[P, R], /) -> Callable[P, R]:
        signature = inspect.signature(function)
        if job_id not in signature.parameters:
            raise TypeError(f"{function.__name__}() has no argument {job_id!r} that could name the job")

        def job_of(*args: P.args, **kwargs: P.kwargs) -> Any:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            return bound.arguments[job_id]

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
                with track(job_of(*args, **kwargs)):
                    return await function(*args, **kwargs)

            return awaited  # type: ignore[return-value]  # R is the coroutine that it returns

        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            with track(job_of(*args, **kwargs)):
                return function(*args, **kwargs)

        return called

    return decorate
