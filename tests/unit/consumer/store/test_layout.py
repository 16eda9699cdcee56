"""The layout agrees with the records that carry its values, and with the statements that are made from it."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
from jobstatus_consumer.core.rule import RowState
from jobstatus_consumer.records import Event
from jobstatus_consumer.store import CONTENT, Row, RowRepair, content_of, json_params
from jobstatus_consumer.store.layout import MANAGED, PROGRESS, PURGED, Role, managed_tables
from jobstatus_consumer.store.names import TableName
from jobstatus_consumer.store.queries import block, blocks
from jobstatus_schemas import JobStatusEvent
from law.events import event

JOBS = TableName.parse("jobs")


def test_a_row_has_the_layouts_columns_in_its_order() -> None:
    order = [column.name for column in MANAGED.of(Role.ORDER)]
    assert order == ["attempt", "latest_occurred_at", "log_id", "log_offset"]
    assert Row._fields == (*RowState._fields, *CONTENT)
    assert len(Row._fields) == len(MANAGED.of_row)


def test_every_field_that_is_reported_has_a_column() -> None:
    assert set(JobStatusEvent._fields) <= {column.name for column in MANAGED.columns}


def test_each_column_that_is_sent_comes_from_a_field_of_the_event() -> None:
    fields = {*JobStatusEvent._fields, *Event._fields}
    assert {column.event or column.name for column in MANAGED.sent} <= fields


def test_state_and_content_are_the_two_parts_of_a_row() -> None:
    item = event("job-1", 7, attempt=2, status="error", error_message="broke")
    state = RowState(3, item.time, item.log_id, item.offset)
    row = Row.made(state, item.content)
    assert (row.state, row.content) == (state, content_of(item.content))
    assert (row.attempt, row.status, row.error_message) == (3, "error", "broke")


def test_content_is_compared_as_postgresql_shows_it() -> None:
    content = event().content
    capitals = content._replace(event_id=content.event_id.upper())
    assert content_of(capitals) == content_of(content)


def test_a_row_without_values_is_nobodys() -> None:
    assert not Row().state.has_position
    assert set(Row().content) == {None}


def test_the_parameters_of_a_write_are_those_that_its_statement_names() -> None:
    text = block("write.sql", "write", JOBS).as_string(None)
    for events in ([], [event()]):
        names = json_params.column_lists(events)
        assert list(names) == [column.name for column in MANAGED.sent]
        assert all(f"%({name})s" in text for name in names)


def test_a_repair_is_sent_by_column() -> None:
    item = event("job-1", 7)
    row = Row.made(RowState(1, item.time, item.log_id, item.offset), item.content)
    record = RowRepair("job-1", row, "log", 5, keep_attempt=True, keep_latest=False).as_record()
    switches = {"keep_attempt": True, "keep_latest": False, "was_log": "log", "was_offset": 5}
    assert record.keys() == {column.name for column in MANAGED.sent} | switches.keys()
    assert switches.items() <= record.items()
    assert (record["latest_occurred_at"], record["log_offset"]) == (item.time, 7)


def test_a_write_without_a_target_has_no_part_of_one() -> None:
    text = block("write.sql", "write", JOBS).as_string(None)
    assert "RETURNING 1\n), advanced AS (" in text
    assert text.endswith("SELECT (SELECT count(*) FROM written), (SELECT count(*) FROM advanced)")


def test_no_placeholder_is_left_in_any_statement() -> None:
    names = {"other": JOBS.identifier, "other_purged": JOBS.purged.identifier}
    for file in ("write.sql", "table.sql", "admin.sql", "stuck.sql"):
        for name in blocks(file):
            assert "{" not in block(file, name, JOBS, parts=names).as_string(None), (file, name)
    waiting = {"unparked": block("purge.sql", "unparked", JOBS)}
    for name in blocks("purge.sql"):
        assert "{" not in block("purge.sql", name, JOBS, parts=waiting).as_string(None), name


def test_a_list_on_a_line_of_its_own_has_one_line_for_each_item() -> None:
    (_, managed), (progress, layout), (_, purged) = managed_tables(JOBS)
    assert (managed, layout, purged) == (MANAGED, PROGRESS, PURGED)
    assert block("schema.sql", "create", progress, layout).as_string(None) == (
        'CREATE TABLE "jobs_progress" (\n'
        "  log_id text PRIMARY KEY,\n"
        "  next_offset bigint NOT NULL,\n"
        "  leader_epoch integer,\n"
        "  first_offset bigint,\n"
        "  updated_at timestamptz NOT NULL\n"
        ") WITH (fillfactor = 70)"
    )


def test_what_is_kept_of_a_purged_job_is_what_the_rule_compares() -> None:
    order = [column.name for column in MANAGED.of(Role.ORDER)]
    assert [column.name for column in PURGED.columns] == ["job_id", *order, "purged_at"]


def test_nobody_changes_a_layout() -> None:
    with pytest.raises(FrozenInstanceError):
        MANAGED.columns = ()  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        MANAGED.columns[0].name = "id"  # type: ignore[misc]
