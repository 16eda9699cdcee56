"""Every action of an operator is noted in the audit log: before it begins with its plan, at its end with its result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from jobstatus_consumer.errors import JobStatusError, StoreError
from jobstatus_consumer.store import AuditTable


@contextmanager
def audited(audit: AuditTable, actor: str, action: str, plan: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Note an action around the block, which puts what it did into the yielded result.

    Raises `StoreError` if the beginning cannot be noted; then the block does not run. If the end cannot be noted, what
    the block did stays done: the error says so.
    """
    number = audit.begin(actor, action, plan)
    result: dict[str, Any] = {}
    try:
        yield result
    except BaseException as error:
        why = str(error) if isinstance(error, JobStatusError) else type(error).__name__
        _finish_failed(audit, number, {**result, "error": why}, error)
        raise
    try:
        audit.finish(number, "done", result)
    except StoreError as error:
        raise JobStatusError(f"the action is done, but its result is not in the audit log: {error}") from None


def _finish_failed(audit: AuditTable, number: int, result: Mapping[str, Any], error: BaseException) -> None:
    try:
        audit.finish(number, "failed", result)
    except StoreError as why:
        error.add_note(f"the failure is not in the audit log: {why}")
