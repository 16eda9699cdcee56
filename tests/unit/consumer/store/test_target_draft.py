"""A first target file from what the catalog says; that it fits a real table is proved in `integration/store/target`."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from jobstatus_consumer.errors import StartError
from jobstatus_consumer.store import draft
from jobstatus_consumer.store.drafting import DraftColumn, DraftTable
from jobstatus_consumer.store.names import TableName

ID = DraftColumn("id", "bigint", "int8", "N", (), None, not_null=True, has_default=True, generated=False)
STATUS = ID._replace(name="status", type="text", base="text", category="S", has_default=False)


def made(
    *columns: DraftColumn, unique: tuple[tuple[str, ...], ...] = (("id",),), is_view: bool = False, name: str = "jobs"
) -> str:
    return draft(DraftTable(TableName.parse(name), is_view, (ID, *columns), unique))


def parsed(text: str) -> dict[str, Any]:
    return tomllib.loads(text)


def test_a_status_that_is_a_number_is_left_to_a_person() -> None:
    text = made(ID._replace(name="status", type="smallint"), STATUS._replace(name="error", not_null=False))
    assert parsed(text)["set"] == {"error": "event.error_message"}
    assert "# status: give an expression by hand, its type is smallint\n" in text


def test_a_table_without_a_column_that_can_be_mapped_says_so_and_does_not_load_by_accident() -> None:
    text = made(STATUS._replace(name="payload"))
    assert parsed(text)["set"] == {}
    assert "# no column can be mapped by its name and type: give at least one\n" in text
    assert "# no column is named like a status: map it by hand, if there is one\n" in text


def test_a_unique_column_that_is_named_like_a_jobs_id_is_the_key_before_the_primary_key() -> None:
    text = made(STATUS._replace(name="Task_ID"), STATUS, unique=(("id",), ("Task_ID",)))
    assert parsed(text)["key"] == {"Task_ID": "event.job_id"}


def test_a_view_has_no_index_and_a_table_needs_one() -> None:
    assert parsed(made(STATUS, unique=(), is_view=True))["key"] == {"id": "event.job_id"}
    with pytest.raises(StartError, match="jobs has no unique index, so a job could have several rows"):
        made(STATUS, unique=())


def test_names_are_quoted_where_toml_or_sql_needs_it() -> None:
    text = made(
        STATUS._replace(words=("new", "it's", "Cancelled"), name="state", not_null=False),
        STATUS._replace(name="attempts", category="N"),
        ID._replace(name="Started_At", category="D", base="timestamptz"),
        name='"odd name"."my.jobs"',
    )
    found = parsed(text)
    assert TableName.parse(found["table"]) == TableName("odd name", "my.jobs")
    assert found["set"]["Started_At"] == (
        "\nCASE WHEN event.status IN ('pending') THEN job.\"Started_At\"\n"
        '  ELSE coalesce(job."Started_At", event.occurred_at) END'
    ).removeprefix("\n")
    assert "# where = \"job.state IS DISTINCT FROM 'Cancelled'\"  # keeps" in text
    assert "success: no word for it; allow it, or add: WHEN 'success' THEN one of these" in text


def test_a_time_or_a_text_that_must_not_be_null_keeps_a_value() -> None:
    ended = ID._replace(name="ended_at", type="timestamp without time zone", base="timestamp", category="D")
    found = parsed(made(STATUS, ended, STATUS._replace(name="error", most=10)))["set"]
    assert found["ended_at"] == (
        "CASE WHEN event.status IN ('success', 'error') THEN event.occurred_at AT TIME ZONE 'UTC' ELSE job.ended_at END"
    )
    assert found["error"] == "coalesce(left(event.error_message, 10), '')"
