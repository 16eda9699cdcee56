"""Poison in a backlog: exactly that in the dead letters, each with the right headers, and all else in the table."""

from __future__ import annotations

from collections import Counter

import pytest
from law.model import one_by_one
from support.deployment import Deployment, events_of
from support.poison import KINDS, constrain, mixture

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

PREFIX = "jobstatus.dlq."


def test_one_percent_of_poison_lands_exactly_in_the_dead_letters(deployed: Deployment) -> None:
    constrain(deployed)
    made = list(mixture(10_000, 1_000, 0.01))
    deployed.produce(record for _, record in made)
    # a value may be poison of a kind that only its bytes tell: by them each record is found again
    kind_of = {(key.encode() if isinstance(key, str) else key, value): kind for kind, (key, value, _) in made}
    summary = deployed.drain()
    assert summary["dead_letters"] == 100
    assert summary["events"] == 10_000

    records = {(raw.partition, raw.offset): raw for raw in deployed.records()}
    seen: Counter[str] = Counter()
    for letter in deployed.dead_letters():
        told = {name.removeprefix(PREFIX): (text or b"").decode() for name, text in letter.headers}
        original = records.pop((int(told["partition"]), int(told["offset"])))
        assert (letter.key, letter.value) == (original.key, original.value)
        kind = kind_of[letter.key, letter.value]
        stage, why = KINDS[kind]
        assert told["stage"] == stage
        assert why in (told["reason"], told.get("sqlstate"))
        seen[kind] += 1
    assert seen == dict.fromkeys(KINDS, 20)

    good = sorted(records.values(), key=lambda raw: (raw.partition, raw.offset))
    assert deployed.rows() == one_by_one({}, events_of(good))
