"""The tables of nine job libraries: a history is written right, and nothing else of the row is touched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from integration.store.target.conftest import MakeOwn
from integration.store.target.schemas import AFTER_ERROR, SCHEMAS, Schema
from support.own_table import OwnTable

SET = {"airflow": {"updated_at"}}
"""Mapped columns that hold the time of the write."""


@pytest.fixture(params=SCHEMAS, ids=lambda schema: schema.name)
def schema(request: pytest.FixtureRequest) -> Schema:
    found: Schema = request.param
    return found


@pytest.fixture
def own(schema: Schema, make_own: MakeOwn, empty_url: str) -> Iterator[OwnTable]:
    """The library's table with one row. The consumers' sessions are not in UTC."""
    away = empty_url.replace("search_path", "TimeZone%3DAsia/Tokyo%20-csearch_path")
    own = make_own(schema.ddl, schema.target.read_text("utf-8"), away)
    own.run("SET TimeZone = 'UTC'")
    own.run(schema.row)
    yield own
    own.run("DROP SCHEMA IF EXISTS pgboss CASCADE")


def row(own: OwnTable, schema: Schema) -> dict[str, Any]:
    ((found,),) = own.run(f"SELECT to_jsonb(job) FROM {schema.table} AS job")
    return dict(found)


def mapped(found: dict[str, Any], schema: Schema) -> dict[str, Any]:
    return {column: found[column] for column in schema.done}


def test_a_history_is_written_right_step_by_step(schema: Schema, own: OwnTable) -> None:
    before = row(own, schema)
    for number, step in enumerate(schema.history(), 1):
        assert own.write(step).rejected == ()
        if number == AFTER_ERROR:
            assert mapped(row(own, schema), schema) == schema.failed
    after = row(own, schema)
    assert mapped(after, schema) == schema.done
    others = before.keys() - schema.done.keys() - SET.get(schema.name, set())
    assert {column: after[column] for column in others} == {column: before[column] for column in others}
    assert own.waiting() == {}


def test_a_history_in_one_batch_ends_as_step_by_step(schema: Schema, own: OwnTable) -> None:
    assert own.write(*schema.history()).rejected == ()
    assert mapped(row(own, schema), schema) == schema.done
    if schema.name == "procrastinate":
        noted = own.run("SELECT type FROM procrastinate_events ORDER BY id")
        assert [kind for (kind,) in noted] == ["started", "failed", "succeeded"]


def test_a_row_that_comes_later_shows_the_latest_status(schema: Schema, own: OwnTable) -> None:
    own.run(f"DELETE FROM {schema.table}")
    own.write(*schema.history())
    assert own.waiting() == {schema.job_id: "no row"}
    own.run(schema.row)
    own.settle()
    assert own.waiting() == {}
    status = next(iter(schema.done))
    assert row(own, schema)[status] == schema.done[status]


def test_a_word_that_the_table_does_not_know_is_refused(schema: Schema, own: OwnTable) -> None:
    if schema.wrong is None:
        assert "status" not in row(own, schema), "it has no column for the word"
        return
    own.write(*schema.history())
    (refused,) = own.write(schema.refused()).rejected
    assert refused.sqlstate == schema.wrong[1]
    assert mapped(row(own, schema), schema) == schema.done
