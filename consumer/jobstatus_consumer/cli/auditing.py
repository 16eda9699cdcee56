"""The audit log of the commands that change something."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from jobstatus_consumer.cli.session import say
from jobstatus_consumer.config import Settings
from jobstatus_consumer.errors import DatabaseAwayError, DeploymentError, SettingsError
from jobstatus_consumer.operations import audited
from jobstatus_consumer.store import AuditTable


@contextmanager
def noted(settings: Settings, action: str, plan: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Note the action around the block, which puts what it did into the yielded result.

    Where the table or the right is missing, or the database gives no answer, the command works all the same, and says
    that it is not noted: a repair at night must not wait for a GRANT.
    """
    with ExitStack() as stack:
        result: dict[str, Any] = {}
        try:
            audit = stack.enter_context(AuditTable(settings.database, settings.table))
            audit.check()
        except (SettingsError, DeploymentError, DatabaseAwayError) as error:
            say(f"this is not noted in the audit log: {error}")
        else:
            result = stack.enter_context(audited(audit, actor(), action, plan))
        yield result


def actor() -> str:
    """Who runs this command: the user of the system, and the machine."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):
        user = "unknown"  # a container may run under a number that has no name
    return f"{user}@{socket.gethostname()}"
