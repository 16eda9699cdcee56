"""Purge: finished rows that are old are removed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from jobstatus_consumer.errors import JobStatusError
from jobstatus_consumer.operations.actions.plan import ActionPlan, Matched, Means
from jobstatus_consumer.operations.actions.saying import say
from jobstatus_consumer.operations.purge import PurgeContext, PurgeResult, purge
from jobstatus_consumer.store import Finished, PurgeTable

NAME: Final = "purge"


@dataclass(slots=True)
class Purge:
    """The rows of some statuses whose job has no event since a fixed time."""

    means: Means
    request: Mapping[str, str]
    finished: Finished

    def plan(self) -> ActionPlan:
        """Count the finished rows, and name them by a digest that the server makes."""
        with PurgeTable(self.means.settings.database, self.means.settings.table) as table:
            found, names = table.counts(self.finished), table.digest(self.finished)
        matched = Matched()
        matched.add("", names)
        matched.count = sum(item.rows for item in found)
        matched.examples = [f"{item.rows:,} rows with the status {item.status}" for item in found if item.rows]
        facts = {"rows": {item.status: item.rows for item in found}, "others": sum(item.others for item in found)}
        return matched.planned(NAME, self.request, "row", facts)

    def apply(self) -> Mapping[str, Any]:
        """Remove these rows in small transactions beside live consumers."""
        result = PurgeResult()
        with PurgeTable(self.means.settings.database, self.means.settings.table) as table:
            context = PurgeContext(table, 0.0, False, self.means.stop, self.means.settings.wait_for_database, say)
            purge(context, self.finished, result, lambda count: None)
        if not result.complete:
            raise JobStatusError(f"stopped; {result.purged:,} rows were purged. Plan it again for the rest")
        return {"purged": result.purged, "seconds": round(result.seconds, 3)}
