"""What every page needs, made once at the start and handed to each request."""

from __future__ import annotations

from dataclasses import dataclass

from jobstatus_reader import JobStatusReader
from starlette.requests import Request

from jobstatus_consumer.config import Settings
from jobstatus_consumer.console.access import Access
from jobstatus_consumer.console.doing import Actions
from jobstatus_consumer.console.live import Live
from jobstatus_consumer.console.questions import Questions
from jobstatus_consumer.console.sources import Sources


@dataclass(frozen=True, slots=True)
class Options:
    """How the console was started."""

    show_values: bool = False
    """whether dead letters are shown with the values of their events"""
    allow_actions: bool = False
    """whether a user may change something"""
    verify_every: int | None = None
    """seconds between two comparisons of the table with the log; None for never"""


@dataclass(frozen=True, slots=True)
class Context:
    """The parts of one console."""

    settings: Settings
    access: Access
    options: Options
    live: Live
    questions: Questions
    sources: Sources
    reader: JobStatusReader
    """for all who wait for a job"""
    actions: Actions


def context_of(request: Request) -> Context:
    """Return the parts of the console that answers this request."""
    found: Context = request.app.state.context
    return found
