"""The thread that asks the schema registry: the loop never waits for it, and a wait ends with what it was for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest
from jobstatus_consumer.stream import schemas as module
from jobstatus_consumer.stream.schemas import AskedSchemas, SchemaPendingError
from jobstatus_schemas import UndecodableError
from jobstatus_schemas.registry.errors import UnavailableError
from jobstatus_schemas.schema import Schema, newest_schema
from support.waiting import assert_quick, until


class Registry:
    """What the registry has answered, and what it answers next."""

    def __init__(self) -> None:
        self.kept: dict[int, Schema] = {}
        self.answers: dict[int, Any] = {}
        self.open = Event()
        self.asked: list[int] = []

    def known(self, schema_id: int) -> Schema | None:
        return self.kept.get(schema_id)

    def ask(self, schema_id: int) -> Schema:
        self.asked.append(schema_id)
        self.open.wait(30)
        answer = self.answers[schema_id]
        if isinstance(answer, Exception):
            raise answer
        self.kept[schema_id] = answer
        return newest_schema()


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def asked(registry: Registry) -> Iterator[AskedSchemas]:
    found = AskedSchemas(registry)  # type: ignore[arg-type]
    yield found
    registry.open.set()
    found.close(10)


def is_pending(asked: AskedSchemas, schema_id: int) -> bool:
    try:
        asked.schema_of(schema_id)
    except SchemaPendingError:
        return True
    return False


def test_an_answer_that_comes_at_once_costs_no_pause(registry: Registry, asked: AskedSchemas) -> None:
    registry.answers[1] = newest_schema()
    registry.open.set()
    until(lambda: not is_pending(asked, 1), "the schema is known")
    assert asked.schema_of(1) is newest_schema()
    assert registry.asked == [1]
    assert asked.outage is None


def test_the_wait_goes_on_through_errors_and_is_said(
    registry: Registry, asked: AskedSchemas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SILENT_SECONDS", 0.0)
    registry.answers[1] = UnavailableError("it is down")
    assert is_pending(asked, 1)
    outage = asked.outage
    assert outage is not None
    assert (outage.kind, outage.reason) == ("registry", "schema registry: no answer for schema id 1 yet")
    registry.open.set()
    text = "schema registry: it is down; schema id 1 is needed"
    until(lambda: (found := asked.outage) is not None and found.reason == text, "it says why")
    registry.answers[1] = newest_schema()
    until(lambda: not is_pending(asked, 1), "the schema is known")
    until(lambda: asked.outage is None, "it says that it waits no longer")


def test_a_refusal_is_for_the_record_that_asked_and_the_next_one_asks_again(
    registry: Registry, asked: AskedSchemas
) -> None:
    registry.answers[1] = UndecodableError("unknown_schema", "unknown")
    registry.open.set()
    for count in (1, 2):
        with pytest.raises(UndecodableError, match="unknown"):
            until(lambda: not is_pending(asked, 1), "the answer is there")
        assert len(registry.asked) == count


def test_a_wait_ends_with_the_partition_of_its_record(registry: Registry, asked: AskedSchemas) -> None:
    registry.answers = {1: UnavailableError("it is down"), 2: newest_schema()}
    record, other = object(), object()
    assert is_pending(asked, 1)
    asked.hold(record)
    asked.settle([record, other])
    assert asked.awaited is record
    asked.settle([other])
    assert asked.awaited is None
    registry.open.set()
    until(lambda: not is_pending(asked, 2), "another id is asked for")
    assert asked.outage is None


@pytest.mark.parametrize("is_answered_first", [True, False])
def test_a_refusal_that_nobody_waits_for_any_more_is_not_kept(
    registry: Registry, asked: AskedSchemas, monkeypatch: pytest.MonkeyPatch, *, is_answered_first: bool
) -> None:
    monkeypatch.setattr(module, "SILENT_SECONDS", 0.0)
    registry.answers = {1: UndecodableError("unknown_schema", "unknown"), 2: newest_schema()}
    asked.settle([])
    assert is_pending(asked, 1)
    asked.hold(object())
    if is_answered_first:
        registry.open.set()
        until(lambda: asked.outage is None, "the answer is there")
    asked.settle([])  # the record was revoked
    registry.open.set()
    until(lambda: not is_pending(asked, 2), "the thread has done with the first id")
    registry.answers[1] = newest_schema()
    until(lambda: not is_pending(asked, 1), "it is asked for anew")


def test_the_loop_waits_once_in_a_step_however_many_ids_are_new(
    registry: Registry, asked: AskedSchemas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.3)
    asked.settle([])
    began = time.monotonic()
    assert is_pending(asked, 1)
    assert time.monotonic() - began >= 0.3

    def seconds_for_eight() -> float:
        began = time.monotonic()
        assert all(is_pending(asked, schema_id) for schema_id in range(2, 10))
        return time.monotonic() - began

    assert_quick(0.3, "none of the eight is waited for: all", seconds_for_eight)
    monkeypatch.setattr(module, "PATIENCE", 30.0)
    registry.answers = dict.fromkeys(range(1, 11), newest_schema())
    registry.open.set()
    asked.settle([])
    assert asked.schema_of(10) is newest_schema(), "the next step waits again"


def test_an_error_that_ends_the_thread_ends_the_loop_and_is_no_fault_of_the_record(
    registry: Registry, asked: AskedSchemas
) -> None:
    registry.answers[1] = ValueError("nothing that the registry answers")
    registry.open.set()
    with pytest.raises(RuntimeError, match="has ended") as caught:
        until(lambda: not is_pending(asked, 1), "the loop has the error")
    assert caught.value.__cause__ is registry.answers[1]
    with pytest.raises(RuntimeError):
        asked.schema_of(2)
