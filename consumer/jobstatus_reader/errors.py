"""Every error that the reader raises on purpose, and what its caller does.

    ReaderError
    ├── ReaderSettingsError       a setting is missing or malformed; also a ValueError
    ├── ReaderSetupError          a table or a right is missing: the deployment is wrong
    ├── DatabaseUnavailableError  the database does not answer or is busy: try again later
    ├── ReaderClosedError         the reader is closed
    └── NotReachedError           a wait came to its time-out; also a TimeoutError

An argument that is not allowed raises `ValueError` or `TypeError`. No message has a password or a value of a row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobstatus_reader.job import Job


class ReaderError(Exception):
    """The root of all; its text is for a person."""


class ReaderSettingsError(ReaderError, ValueError):
    """A setting is missing or malformed. The text names it, and what is allowed."""


class ReaderSetupError(ReaderError):
    """The table or a right is missing, or the table has another shape."""


class DatabaseUnavailableError(ReaderError):
    """The database is unreachable, busy or refuses connections: the same call may succeed later."""


class ReaderClosedError(ReaderError):
    """The reader is closed. Make a new one."""


class NotReachedError(ReaderError, TimeoutError):
    """The job had none of the wanted statuses in time. `job` is its row as it was last seen; None if it had none.

    `trouble` says why the database did not answer at the end; it is empty if it did.
    """

    def __init__(self, text: str, job: Job | None, trouble: str = "") -> None:
        super().__init__(text)
        self.job = job
        self.trouble = trouble
