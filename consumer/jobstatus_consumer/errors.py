"""Everything this program raises on purpose, and what its caller should do.

    JobStatusError
    ├── SettingsError            wrong usage: print it, exit with 2
    ├── StartError               the surroundings are not ready: print it, exit with 1
    ├── StoreError               what a statement ran into, by class and SQLSTATE, never by its text
    │   ├── DatabaseAwayError    wait, paused and polling, and try again for as long as it takes
    │   ├── ConnectionStaleError connect anew and try once more; a second time it is a DeploymentError
    │   ├── BadRowError          isolate the row, write all others, send a dead letter for it
    │   └── DeploymentError      we or the deployment are wrong: stop, commit nothing, exit with 1
    ├── DeadLetterError          a dead letter was not acknowledged: commit nothing behind it
    ├── DeadLetterBudgetError    too many dead letters: stop, commit nothing, exit with 1
    ├── OffsetsLostError         the log no longer has what comes next: stop, say so, exit with 1
    ├── BrokerError              the broker or the client refuses for good: stop, exit with 1
    │   └── BrokerAwayError      it gave no answer in time: a command ends, a consumer joins the group anew
    └── StopRequestedError       a stop was asked for while waiting: leave, commit nothing more

No message holds a password, and none holds a value of a row.
"""

from __future__ import annotations


class JobStatusError(Exception):
    """The root; its text is meant for a person."""


class SettingsError(JobStatusError):
    """A setting is unknown, malformed, or contradicts another; the text names it and what is allowed."""


class StartError(JobStatusError):
    """Something that must be there at the start is not; the text says what, and the remedy."""


class StoreError(JobStatusError):
    """A statement failed. `sqlstate` is PostgreSQL's code, or None where the server gave none.

    `where` names the constraint, column or table that the server named, or is empty.
    """

    def __init__(self, text: str, *, sqlstate: str | None = None, error_class: str = "", where: str = "") -> None:
        super().__init__(text)
        self.sqlstate = sqlstate
        self.error_class = error_class
        self.where = where


class DatabaseAwayError(StoreError):
    """The database is away or busy: it may work later, unchanged."""


class ConnectionStaleError(StoreError):
    """This connection is no longer what it was (a pooler in between, a changed plan)."""


class BadRowError(StoreError):
    """A row of this statement can never be written as it is."""


class DeploymentError(StoreError):
    """A missing table, a missing right, a wrong password, or something nobody has classified."""


class DeadLetterError(JobStatusError):
    """The broker did not acknowledge a dead letter; `retriable` says whether it may yet."""

    def __init__(self, text: str, *, retriable: bool) -> None:
        super().__init__(text)
        self.retriable = retriable


class DeadLetterBudgetError(JobStatusError):
    """More dead letters than the budget allows: something is wrong with more than single events."""


class OffsetsLostError(JobStatusError):
    """The log no longer holds the offset that comes next."""


class BrokerError(JobStatusError):
    """The Kafka side refuses in a way that waiting does not mend."""


class BrokerAwayError(BrokerError):
    """The Kafka side gave no answer in time, and may give one later."""


class StopRequestedError(JobStatusError):
    """A stop request ended a wait."""
