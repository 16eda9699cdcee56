"""What a form or a JSON document asks for, as an action. Each field is a text; an empty one counts as not given."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from jobstatus_schemas.event import check_job_id, check_status

from jobstatus_consumer.durations import parse_duration
from jobstatus_consumer.errors import SettingsError
from jobstatus_consumer.operations.actions.plan import Action, Means
from jobstatus_consumer.operations.actions.purging import Purge
from jobstatus_consumer.operations.actions.redrive import Redrive
from jobstatus_consumer.operations.actions.repairing import Repair
from jobstatus_consumer.operations.actions.replaying import Replay
from jobstatus_consumer.operations.actions.resetting import OffsetsReset
from jobstatus_consumer.operations.actions.undoing import Undo
from jobstatus_consumer.operations.redrive import LetterSelection, parse_positions
from jobstatus_consumer.operations.scope import EventFilter
from jobstatus_consumer.store import Finished

STAGES: Final = ("decode", "validate", "write")
MOST_WORDS: Final = 1000


def action_of(name: str, given: Mapping[str, str], means: Means) -> Action:
    """The action of this name; raises `SettingsError`, which names the field that is wrong."""
    if name not in ACTIONS:
        raise SettingsError(f"there is no action {name!r}; there are {', '.join(ACTIONS)}")
    make, fields = ACTIONS[name]
    unknown = sorted(given.keys() - set(fields))
    if unknown:
        raise SettingsError(f"{unknown[0]!r} is no field of {name}; its fields are {', '.join(fields)}")
    return make(means, {field: text.strip() for field, text in given.items() if text.strip()})


def _redrive(means: Means, given: Mapping[str, str]) -> Action:
    settings, stages = means.settings, _words(given, "stage")
    if not stages <= set(STAGES):
        raise SettingsError(f"stage: wanted {', '.join(STAGES)}")
    selection = LetterSelection(
        settings.topic,
        stages,
        _words(given, "reason"),
        _jobs(given),
        frozenset(parse_positions(given["offsets"])) if "offsets" in given else frozenset(),
        settings.group_id,
        settings.table,
    )
    return Redrive(means, given, selection)


def _repair(means: Means, given: Mapping[str, str]) -> Action:
    return Repair(means, given, _jobs(given))


def _purge(means: Means, given: Mapping[str, str]) -> Action:
    statuses = _statuses(given)
    if not statuses:
        raise SettingsError("status: give the statuses of the rows to remove, such as success,error")
    limit = _limit(given)
    request = {"status": ",".join(sorted(statuses)), "before": str(limit)}
    return Purge(means, request, Finished(tuple(sorted(statuses)), limit))


def _limit(given: Mapping[str, str]) -> int:
    """The time (microseconds since 1970) from `before`, or from an age."""
    before = given.get("before", "")
    if before:
        if not before.isdecimal() or len(before) > 18:
            raise SettingsError("before: wanted microseconds since 1970")
        return int(before)
    try:
        return int((time.time() - parse_duration(given.get("older_than", ""))) * 1e6)
    except ValueError as error:
        raise SettingsError(f"older_than: {error}") from None


def _undo(means: Means, given: Mapping[str, str]) -> Action:
    if "from" not in given or given["from"] == "beginning":
        raise SettingsError("from: give the time or the offsets where the bad events begin")
    return Undo(means, given, given["from"], given.get("to", "now"), _events(given))


def _replay(means: Means, given: Mapping[str, str]) -> Action:
    if given.get("existing_only", "yes") != "yes":
        raise SettingsError("existing_only: wanted yes, or nothing")
    first, last = given.get("from", "beginning"), given.get("to", "now")
    return Replay(means, given, first, last, _events(given), "existing_only" in given)


def _reset(means: Means, given: Mapping[str, str]) -> Action:
    if "to" not in given:
        raise SettingsError("to: wanted beginning, now, P:N[,P:N...], or a time")
    return OffsetsReset(means, given["to"])


def _events(given: Mapping[str, str]) -> EventFilter:
    return EventFilter(_jobs(given), _statuses(given), _words(given, "worker_id"))


def _words(given: Mapping[str, str], field: str, separator: str = ",") -> frozenset[str]:
    words = frozenset(word.strip() for word in given.get(field, "").split(separator) if word.strip())
    if len(words) > MOST_WORDS:
        raise SettingsError(f"{field}: wanted at most {MOST_WORDS:,}")
    if any("\0" in word for word in words):
        raise SettingsError(f"{field}: holds a NUL character")
    return words


def _jobs(given: Mapping[str, str]) -> frozenset[str]:
    """Job ids, one a line: an id may have commas."""
    try:
        return frozenset(map(check_job_id, _words(given, "job_id", "\n")))
    except ValueError as error:
        raise SettingsError(str(error)) from None


def _statuses(given: Mapping[str, str]) -> frozenset[str]:
    try:
        return frozenset(map(check_status, _words(given, "status")))
    except ValueError as error:
        raise SettingsError(str(error)) from None


ACTIONS: Final[Mapping[str, tuple[Callable[[Means, Mapping[str, str]], Action], tuple[str, ...]]]] = {
    "redrive": (_redrive, ("stage", "reason", "job_id", "offsets")),
    "repair": (_repair, ("job_id",)),
    "undo": (_undo, ("from", "to", "job_id", "status", "worker_id")),
    "purge": (_purge, ("status", "older_than", "before")),
    "offsets-reset": (_reset, ("to",)),
    "replay": (_replay, ("from", "to", "job_id", "status", "worker_id", "existing_only")),
}
"""By name: what makes the action, and its fields."""
