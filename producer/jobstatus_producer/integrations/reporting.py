"""What the frameworks' modules share: the words for what happens to a job, and a report that breaks no job."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from jobstatus_producer.client import JobId, JobStatusProducer
from jobstatus_producer.errors import ProducerError
from jobstatus_producer.functions import default_producer
from jobstatus_producer.log import logger
from jobstatus_producer.tracking import describe

WORDS: Final[Mapping[str, str]] = {
    word: word for word in ("pending", "processing", "success", "error", "retrying", "revoked")
}
"""What happens to a job, and the status that is reported for it."""

Words = Mapping[str, str | None]
"""Other statuses for some of `WORDS`; None reports nothing."""


class Reporter:
    """Reports with one producer. No method raises because of a report: the framework's job matters more."""

    def __init__(self, producer: JobStatusProducer | None = None, words: Words | None = None) -> None:
        """Without `producer` the first report makes the one of `update_job_status`.

        Raises `ValueError` for a key of `words` that is none of `WORDS`.
        """
        unknown = sorted(set(words or ()) - set(WORDS))
        if unknown:
            raise ValueError(f"words: {unknown[0]!r} is none of {', '.join(WORDS)}")
        self._producer = producer
        self._words: Words = {**WORDS, **(words or {})}

    def report(self, job_id: JobId | None, what: str, error: object = None, attempt: int | None = None) -> None:
        """Report what happened to a job; None for a job that is not to be reported. Blocks as a producer's call does.

        A report that is not accepted is an error in the log.
        """
        status = self._words[what]
        if status is not None and job_id is not None:
            with _not_accepted_is_logged():
                self._get().update_job_status(job_id, status, _message(error), attempt=attempt)

    async def areport(self, job_id: JobId | None, what: str, error: object = None, attempt: int | None = None) -> None:
        """As `report`, and never blocks the event loop."""
        status = self._words[what]
        if status is not None and job_id is not None:
            with _not_accepted_is_logged():
                await self._get().aupdate_job_status(job_id, status, _message(error), attempt=attempt)

    def report_as(
        self,
        name: str,
        job_id: Callable[[], JobId | None],
        what: str,
        error: object = None,
        attempt: int | None = None,
    ) -> None:
        """As `report`, with the id that the user's function makes; if it raises, the log says so of `name`."""
        self.report(made_id(name, job_id), what, error, attempt)

    def flush(self, seconds: float) -> None:
        """Block until everything is acknowledged, for up to `seconds`. What is not is delivered later."""
        try:
            self._get().flush(seconds)
        except ProducerError as error:
            logger.error("a job's status was not delivered: %s", error)

    def _get(self) -> JobStatusProducer:
        if self._producer is None:
            self._producer = default_producer()
        return self._producer


def made_id(name: str, job_id: Callable[[], JobId | None]) -> JobId | None:
    """The id that the user's function makes; if it raises, None, and the log says so of `name`."""
    try:
        return job_id()
    except Exception as wrong:  # noqa: BLE001 - the function is the user's, and the job matters more
        logger.error("job_id raised %s for a %s, which is not reported", type(wrong).__name__, name)
        return None


def _message(error: object) -> object:
    return describe(error) if isinstance(error, BaseException) else error


@contextmanager
def _not_accepted_is_logged() -> Iterator[None]:
    try:
        yield
    except (ProducerError, TypeError, ValueError) as unreported:
        logger.error("a job's status was not accepted: %s", unreported)
