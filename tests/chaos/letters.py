"""The dead letters that were sent, by identity, each held against its original."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from jobstatus_consumer.records import Headers, RawRecord

from chaos.findings import LETTER_ALTERED, LETTER_WITHOUT_CAUSE, Findings
from chaos.history import Poison, Position
from chaos.poison import reason_of
from chaos.strangers import STRANGER

PREFIX: Final = "jobstatus.dlq."


class Letters:
    """Dead letters as they come; `copies` counts each identity."""

    def __init__(self, topic_id: str) -> None:
        self._topic_id = topic_id
        self.copies: Counter[Position] = Counter()
        self.read: list[RawRecord] = []

    def take(self, records: Iterable[RawRecord]) -> None:
        """The next records of the dead letters' topic; those of other programs are not looked at."""
        for letter in records:
            if STRANGER in dict(letter.headers):
                continue
            self.read.append(letter)
            self.copies[place_of(letter)] += 1

    def check(self, poison: dict[Position, Poison], findings: Findings) -> None:
        """Every one has a cause, is its original byte for byte, and says what and where."""
        for letter in self.read:
            place = place_of(letter)
            known = poison.get(place)
            said = told(letter.headers)
            if known is None:
                why = f"{place}: {said.get('reason')} {said.get('sqlstate', '')} {said.get('error.class', '')}"
                findings.add(LETTER_WITHOUT_CAUSE, place, why)
            elif wrong := self._wrong(letter, known, said):
                findings.add(LETTER_ALTERED, place, f"{place}, {known.kind}: {wrong}")

    def _wrong(self, letter: RawRecord, known: Poison, said: dict[str, str]) -> str:
        original = known.raw
        if (letter.key, letter.value, letter.timestamp) != (original.key, original.value, original.timestamp):
            return "its key, value or timestamp is another"
        if list(letter.headers)[: len(original.headers)] != list(original.headers):
            return "the headers of the original are not the first ones"
        if said.get("topic.id") != self._topic_id or said.get("topic") != original.topic:
            return f"it names the topic {said.get('topic')} {said.get('topic.id')}"
        if said.get("reason") != reason_of(known.kind):
            return f"the reason is {said.get('reason')}"
        return ""


def told(headers: Headers) -> dict[str, str]:
    """Our own headers of a dead letter, without their prefix."""
    return {name.removeprefix(PREFIX): (text or b"").decode() for name, text in headers if name.startswith(PREFIX)}


def place_of(letter: RawRecord) -> Position:
    """Where in the topic its original stands."""
    said = told(letter.headers)
    return int(said["partition"]), int(said["offset"])
