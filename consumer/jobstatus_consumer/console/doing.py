"""The actions of the console: one at a time, in a thread of its own, noted in the audit log."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from threading import Event
from typing import Any

from jobstatus_consumer.config import Settings
from jobstatus_consumer.errors import DeploymentError, StartError
from jobstatus_consumer.kafka import Coordinator
from jobstatus_consumer.operations import ActionPlan, Means, action_of, apply_exactly
from jobstatus_consumer.store import MAY_NOT, AuditTable, check, check_purge, target_of


class Actions:
    """Plans and applies for the pages. For any thread."""

    def __init__(self, settings: Settings, coordinator: Coordinator) -> None:
        self._settings = settings
        self._stop = Event()
        self._means = Means(settings, self._stop, coordinator)
        self._turn = threading.Lock()

    def plan(self, name: str, given: Mapping[str, str]) -> ActionPlan:
        """What would change. Blocks while it reads; raises `JobStatusError`."""
        try:
            return action_of(name, given, self._means).plan()
        except DeploymentError as error:
            raise self._named(error) from None

    def apply(self, name: str, given: Mapping[str, str], digest: str, user: str) -> Future[Mapping[str, Any]]:
        """Begin to apply the plan that has this digest, and return at once; the future gets what was done.

        Raises `SettingsError` for wrong fields, and `StartError` while another action runs.
        """
        action = action_of(name, given, self._means)

        def work() -> Mapping[str, Any]:
            with AuditTable(self._settings.database, self._settings.table) as audit:
                return apply_exactly(action, digest, audit, user)

        if not self._turn.acquire(blocking=False):
            raise StartError("another action is running; nothing was changed. Look at the audit log, and try again")
        done: Future[Mapping[str, Any]] = Future()
        threading.Thread(target=self._run, args=(work, done), name="jobstatus-console-action", daemon=True).start()
        return done

    def close(self) -> None:
        """Have a running action stop at its next step; what it has done until then stays done and is noted."""
        self._stop.set()

    def _run(self, work: Callable[[], Mapping[str, Any]], done: Future[Mapping[str, Any]]) -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - the page raises it again
            self._turn.release()
            done.set_exception(self._named(error))
        else:
            self._turn.release()
            done.set_result(result)

    def _named(self, error: BaseException) -> BaseException:
        """The error; where the server refused a right, with every GRANT that the role lacks for actions. May block."""
        if not isinstance(error, DeploymentError) or error.sqlstate != MAY_NOT:
            return error
        url, table = self._settings.database, self._settings.table
        problems = [*check(url, table, target=target_of(self._settings)), *check_purge(url, table)]
        found = dict.fromkeys(f"{item.what} ({item.remedy})" for item in problems)
        return DeploymentError("; ".join(found) or str(error), sqlstate=error.sqlstate)
