"""The plan of an action: what was asked, what would change, and a digest that names exactly that."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import Any, Final, Protocol

from jobstatus_consumer.config import Settings
from jobstatus_consumer.kafka import Coordinator, Topics

SHOWN: Final = 10
_MODULUS: Final = 2**256


@dataclass(frozen=True, slots=True)
class ActionPlan:
    """`request` has every field that makes the same plan again: times and words such as `now` are fixed in it.

    `changes` is the number of things that would change, and `unit` says what they are. `digest` is another one as soon
    as anything else matches.
    """

    action: str
    request: Mapping[str, str]
    changes: int
    unit: str
    digest: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    examples: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON and the audit log."""
        return {
            "action": self.action,
            "request": dict(self.request),
            "changes": self.changes,
            "unit": self.unit,
            "digest": self.digest,
            "facts": dict(self.facts),
            "examples": list(self.examples),
        }


@dataclass(frozen=True, slots=True)
class Means:
    """What an action works with. `stop` ends it at its next step; `coordinator` asks about the group."""

    settings: Settings
    stop: Event
    coordinator: Coordinator | None = None

    def topics(self) -> Topics:
        """Return an admin client of the action's own."""
        return Topics(self.settings, coordinator=self.coordinator)


class Action(Protocol):
    """One request to change something."""

    def plan(self) -> ActionPlan:
        """Find out what would change, and keep it for `apply`. Changes nothing. Blocks while it reads."""

    def apply(self) -> Mapping[str, Any]:
        """Do what the last plan says, and nothing else; returns what was done. Blocks."""


class Matched:
    """The things that an action would change: their number, the first of them, and a digest of all in any order."""

    def __init__(self) -> None:
        self.count = 0
        self.examples: list[str] = []
        self._sum = 0

    def add(self, shown: str, *parts: object) -> None:
        """Add one thing: how it is shown, and everything that makes it what it is."""
        text = json.dumps([shown, *map(str, parts)]).encode()
        self._sum = (self._sum + int.from_bytes(hashlib.sha256(text).digest(), "big")) % _MODULUS
        self.count += 1
        if len(self.examples) < SHOWN:
            self.examples.append(shown)

    def planned(self, action: str, request: Mapping[str, str], unit: str, facts: Mapping[str, Any]) -> ActionPlan:
        """The plan of an action that would change these things."""
        whole = json.dumps([action, sorted(request.items()), self.count, self._sum]).encode()
        digest = hashlib.sha256(whole).hexdigest()
        return ActionPlan(action, request, self.count, unit, digest, facts, tuple(self.examples))
