"""Applies a plan, if it is still what would be planned now, and notes it in the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobstatus_consumer.errors import PlanChangedError
from jobstatus_consumer.operations.actions.plan import Action
from jobstatus_consumer.operations.audit import audited
from jobstatus_consumer.store import AuditTable


def apply_exactly(action: Action, digest: str, audit: AuditTable, actor: str) -> Mapping[str, Any]:
    """Apply the plan that has this digest, and return what was done. Blocks for as long as the action does.

    The plan is made again first: raises `PlanChangedError` if anything else matches now. Raises `StoreError` if the
    action cannot be noted in the audit log; in both cases nothing was changed.
    """
    plan = action.plan()
    if plan.digest != digest:
        raise PlanChangedError(
            f"what matches has changed since the plan was made: {plan.changes:,} now. Nothing was changed. Look at the "
            "new plan, and apply that",
            plan,
        )
    audit.check()
    with audited(audit, actor, plan.action, plan.as_dict()) as result:
        result.update(action.apply() if plan.changes else {})
    return result
