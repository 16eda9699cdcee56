"""The audit log in the database: one row for each action of an operator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from jobstatus_consumer.errors import DeploymentError
from jobstatus_consumer.store import json_params
from jobstatus_consumer.store.admin import audit_trouble
from jobstatus_consumer.store.connection import DEFAULT_LIMITS, Limits, open_connection
from jobstatus_consumer.store.grants import granted
from jobstatus_consumer.store.names import TableName
from jobstatus_consumer.store.privileges import NOTES
from jobstatus_consumer.store.queries import block
from jobstatus_consumer.store.session import Opener, Session
from jobstatus_consumer.store.sqlstate import MAY_NOT

Outcome = Literal["done", "failed"]


class AuditEntry(NamedTuple):
    """One action. Times are in seconds since 1970-01-01 UTC.

    `finished_at`, `outcome` and `result` are None while it runs, and they stay None if its process was killed.
    """

    id: int
    at: float
    actor: str
    action: str
    plan: Mapping[str, Any]
    finished_at: float | None
    outcome: Outcome | None
    result: Mapping[str, Any] | None


class AuditTable(Session):
    """The audit log beside one managed table. Each method connects if there is no connection, and may block.

    Raises StoreError's kinds: DeploymentError if there is no such table or right.
    """

    def __init__(
        self, url: str, table: str, *, opener: Opener = open_connection, limits: Limits = DEFAULT_LIMITS
    ) -> None:
        super().__init__(url, limits, opener=opener)
        self._name = self._place = TableName.parse(table)

    def prepare(self) -> None:
        """Find the table on a new connection."""
        self._place = self.located(self._name)

    def check(self) -> None:
        """Raise `DeploymentError` if there is no such table, or if this role may not write it."""
        place = self._located()
        with self.use() as connection:
            trouble = audit_trouble(connection, place, self._name)
        if trouble:
            raise DeploymentError(f"{trouble} (jobstatus migrate)")
        name = place.audit.identifier.as_string(None)
        missing = [name for (name,) in self._ask("missing_privileges", name=name, needed=list(NOTES))]
        if missing:
            raise self._refused(missing)

    def begin(self, actor: str, action: str, plan: Mapping[str, Any]) -> int:
        """Note an action before it changes anything; returns its number."""
        ((number,),) = self._ask("begin", actor=actor, action=action, plan=json_params.document(plan))
        return int(number)

    def finish(self, number: int, outcome: Outcome, result: Mapping[str, Any]) -> None:
        """Note what came of it."""
        self._ask("finish", id=number, outcome=outcome, result=json_params.document(result))

    def latest(self, rows: int, before: int | None = None) -> list[AuditEntry]:
        """The newest actions, or those before an action's number."""
        try:
            return [AuditEntry(*row) for row in self._ask("latest", rows=rows, before=before)]
        except DeploymentError as error:
            if error.sqlstate != MAY_NOT:
                raise
            raise self._refused(["SELECT"]) from None

    def _refused(self, missing: Sequence[str]) -> DeploymentError:
        remedy = granted(", ".join(missing), [self._place.audit], self._role())
        return DeploymentError(f"this role has no {', '.join(missing)} on {self._name.audit} ({remedy})")

    def _role(self) -> str:
        ((*_, role),) = self.execute(block("admin.sql", "server", self._place), {})
        return str(role)

    def _located(self) -> TableName:
        if not self.connected:
            self.connect()
        return self._place

    def _ask(self, query: str, **parameters: object) -> list[Any]:
        return self.execute(block("audit.sql", query, self._located()), parameters)
