"""Every error that this program raises on purpose, and what its caller does.

    JobStatusError
    ├── SettingsError            wrong usage: print it, exit with 2
    ├── StartError               something is missing at the start: print it, exit with 1
    ├── StoreError               a statement failed; classified by class and SQLSTATE, never by its text
    │   ├── DatabaseAwayError    wait, paused and polling, and try again without a limit
    │   │   └── LockedError          as well; another session has locked what is to be written
    │   ├── ConnectionStaleError connect again and try once more; a second time it is a DeploymentError
    │   ├── BadRowError          isolate the row, write all others, send a dead letter for it
    │   └── DeploymentError      the program or its deployment is wrong: stop, commit nothing, exit with 1
    │       ├── MalformedUrlError    also a SettingsError: exit with 2
    │       ├── TargetError          the target file does not fit the database
    │       └── WaitingBudgetError   too many jobs wait for their row in the target
    ├── DeadLetterError          a dead letter was not acknowledged: commit nothing behind it
    ├── DeadLetterBudgetError    too many dead letters: stop, commit nothing, exit with 1
    ├── OffsetsLostError         the log does not hold the next offset: stop, report it, exit with 1
    ├── BrokerError              the broker or the client refuses, and waiting does not help: stop, exit with 1
    │   └── BrokerAwayError      no broker answered in time: a command ends, a consumer joins the group again
    │       └── CoordinatorAwayError  the process that asks about groups gave no answer: ask again later
    ├── RegistryAwayError        the schema registry gives no answer: a command ends, a consumer waits, paused
    ├── PlanChangedError         what matches is no longer what was planned: show the new plan
    └── StopRequestedError       a stop was requested during a wait: leave, commit nothing more

No message has a password or a value of a row.
"""

from __future__ import annotations


class JobStatusError(Exception):
    """The root of all; its text is for a person."""


class SettingsError(JobStatusError):
    """A setting is unknown or malformed, or contradicts another. The text names it, and what is allowed."""


class StartError(JobStatusError):
    """Something that is needed at the start is missing. The text names it, and the remedy."""


class StoreError(JobStatusError):
    """A statement failed. `sqlstate` is PostgreSQL's code, or None if the server sent none.

    `error_class` is the name of the driver's exception class. `where` is the constraint, column or table that the
    server named, or empty.
    """

    def __init__(self, text: str, *, sqlstate: str | None = None, error_class: str = "", where: str = "") -> None:
        super().__init__(text)
        self.sqlstate = sqlstate
        self.error_class = error_class
        self.where = where


class DatabaseAwayError(StoreError):
    """The database is unavailable or busy: the same statement may succeed later."""


class LockedError(DatabaseAwayError):
    """Another session has locked the table, or a row that is to be written. The text names the session."""


class ConnectionStaleError(StoreError):
    """The server lost the state of this connection, such as a prepared statement: a new connection may work."""


class BadRowError(StoreError):
    """A row of this statement can never be written as it is."""


class DeploymentError(StoreError):
    """A table or a privilege is missing, a password is wrong, or the error is of an unknown kind."""


class MalformedUrlError(DeploymentError, SettingsError):
    """The database's URL cannot be read: a setting is wrong, and only the store can find that out."""


class PoolerError(DeploymentError):
    """A pooler gives each transaction another session, and the settings do not say so. `what` and `remedy` as below."""

    what = "a pooler in transaction mode is between jobstatus and PostgreSQL"
    remedy = "set JOBSTATUS_PREPARED_STATEMENTS=off, or connect directly, or pool by session"

    def __init__(self) -> None:
        super().__init__(f"{self.what}. Nothing was written, and no offset was committed. {self.remedy}")


class TargetError(DeploymentError):
    """The target file does not fit the database. `what` says why, and `remedy` what to do."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}. Nothing was written, and no offset was committed. {remedy}")
        self.what = what
        self.remedy = remedy


class WaitingBudgetError(DeploymentError):
    """More jobs wait for their row in the target than the budget allows: more is wrong than late rows."""


class DeadLetterError(JobStatusError):
    """The broker did not acknowledge a dead letter. `retriable`: sending it again may work."""

    def __init__(self, text: str, *, retriable: bool) -> None:
        super().__init__(text)
        self.retriable = retriable


class DeadLetterBudgetError(JobStatusError):
    """There were more dead letters than the budget allows: more is wrong than single events."""


class OffsetsLostError(JobStatusError):
    """The log does not hold the offset that comes next."""


class BrokerError(JobStatusError):
    """The broker or the Kafka client refuses, and waiting does not help."""


class BrokerAwayError(BrokerError):
    """No broker answered in time; one may answer later."""


class CoordinatorAwayError(BrokerAwayError):
    """The process that asks a group's coordinator has ended, or is slow. It is started again."""


class RegistryAwayError(JobStatusError):
    """The schema registry gives no answer that can be used; it may give one later."""


class PlanChangedError(JobStatusError):
    """What matches is no longer what was planned, so nothing was changed. `plan` is what would be planned now."""

    def __init__(self, text: str, plan: object) -> None:
        super().__init__(text)
        self.plan = plan


class StopRequestedError(JobStatusError):
    """A stop was requested while something waited."""
