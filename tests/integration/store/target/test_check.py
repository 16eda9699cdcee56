"""What `jobstatus check` says about a target."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from integration.store.target.conftest import MakeOwn
from jobstatus_consumer.store import Target, check, refused_words, target_remarks
from support.own_table import JOBS, STATE, TARGET, OwnTable

pytestmark = pytest.mark.postgres

WORDS = ("pending", "processing", "success", "error")


def problems(own: OwnTable, url: str = "") -> list[str]:
    return [item.what for item in check(url or own.url, STATE, target=own.target)]


def refused(own: OwnTable, *words: str) -> list[str]:
    head = f"the target file {own.file}: "
    return [item.what.removeprefix(head) for item in refused_words(own.url, STATE, own.target, words or WORDS)]


@pytest.fixture
def role(own: OwnTable) -> Iterator[tuple[str, str]]:
    """A role that may read and write our tables, and a URL for it."""
    name = "reader_of_" + own.run("SELECT current_schema")[0][0]
    own.run(f"CREATE ROLE {name} LOGIN PASSWORD 'swordfish-7'")
    schema = own.run("SELECT current_schema")[0][0]
    own.run(f"GRANT USAGE ON SCHEMA {schema} TO {name}")
    own.run(f"GRANT SELECT, INSERT, UPDATE ON {STATE}, {STATE}_progress, {STATE}_waiting TO {name}")
    own.run(f"GRANT SELECT ON {STATE}_purged TO {name}")
    own.run(f"GRANT DELETE ON {STATE}_waiting TO {name}")
    yield name, psycopg.conninfo.make_conninfo(own.url, user=name, password="swordfish-7")
    own.run(f"DROP OWNED BY {name}")
    own.run(f"DROP ROLE {name}")


def test_a_missing_right_is_named_with_the_grant_that_gives_it_and_no_other(
    own: OwnTable, role: tuple[str, str]
) -> None:
    name, url = role
    (found,) = check(url, STATE, target=own.target)
    schema = own.run("SELECT current_schema")[0][0]
    mapped = "status, error_message, started_at, finished_at, updated_at"
    assert found.what == (f"the role {name} has no SELECT (id, status, started_at), UPDATE ({mapped}) on {schema}.jobs")
    own.run(found.remedy)
    assert problems(own, url) == []
    # what only the other commands read is no problem of a consumer
    (remark,) = target_remarks(url, STATE, own.target)
    assert remark.what == (
        f"the role {name} has no SELECT (error_message, finished_at, updated_at) on {schema}.jobs: verify, history and "
        "target sync need that, a consumer does not"
    )
    own.run(remark.remedy)
    assert target_remarks(url, STATE, own.target) == []
    own.run(f"REVOKE UPDATE (finished_at) ON jobs FROM {name}")
    assert problems(own, url) == [f"the role {name} has no UPDATE (finished_at) on {schema}.jobs"]


def test_a_schema_that_the_role_may_not_use_is_named_with_its_grant(own: OwnTable, role: tuple[str, str]) -> None:
    name, url = role
    schema = f"closed_{name}"
    own.run(f"CREATE SCHEMA {schema}")
    own.run(f"CREATE TABLE {schema}.jobs AS TABLE jobs WITH NO DATA")
    own.file.write_text(TARGET.replace('table = "jobs"', f'table = "{schema}.jobs"'))
    (found,) = check(url, STATE, target=Target.read(str(own.file)))
    assert found == (
        f"the role {name} may not use the schema {schema}",
        f'GRANT USAGE ON SCHEMA "{schema}" TO "{name}"',
        False,
    )
    own.run(f"DROP SCHEMA {schema} CASCADE")


def test_a_target_that_is_the_managed_table_is_said_in_one_line(own: OwnTable) -> None:
    (found,) = check(own.url, "jobs", target=own.target)
    assert found.what.endswith(
        "its table jobs is the managed table jobs or one beside it, and the state needs a table of its own"
    )
    assert found.remedy == "Set JOBSTATUS_TABLE to another name, such as jobs_status, then: jobstatus migrate"
    own.file.write_text(TARGET.replace('table = "jobs"', 'table = "nowhere"'))
    assert [item.what for item in check(own.url, STATE, target=Target.read(str(own.file)))] == [
        f"the target file {own.file}: there is no table nowhere"
    ]


def test_every_column_that_cannot_be_written_is_named_at_once(make_own: MakeOwn) -> None:
    ddl = JOBS.replace("payload text", "twice bigint GENERATED ALWAYS AS (id * 2) STORED, payload text")
    own = make_own(ddl, TARGET + 'twice = "1"\nlost = "1"\n')
    (found,) = problems(own)
    assert found.endswith(
        "set.lost: jobs has no column lost; set.twice: the server alone writes this column (it is generated)"
    )


def test_a_word_that_the_table_refuses_is_named_with_its_expression(own: OwnTable) -> None:
    assert refused(own, "processing", "success", "error") == []
    assert refused(own, "pending", "success", "archived") == [
        f"set.status: the status {word} makes a value that the column (job_status) does not take: "
        "InvalidTextRepresentation (22P02)"
        for word in ("pending", "archived")
    ]


def test_null_length_and_check_constraints_are_tried(make_own: MakeOwn) -> None:
    own = make_own(
        """CREATE TABLE jobs (
          id bigint PRIMARY KEY, status varchar(8) NOT NULL, phase text NOT NULL CHECK (phase IN ('new', 'done')),
          error text NOT NULL, attempts smallint NOT NULL, external_id uuid)""",
        """
        table = "jobs"
        key = {id = "event.job_id"}
        [set]
        status = "event.status"
        phase = "CASE event.status WHEN 'success' THEN 'done' WHEN 'pending' THEN 'new' WHEN 'error' THEN 'failed' END"
        error = "event.error_message"
        attempts = "coalesce(event.attempt, job.attempts)"
        external_id = "event.job_id"
        """,
    )
    assert refused(own) == [
        "set.status: the status processing makes more than 8 characters, which is all that fit",
        "set.phase: the status processing makes NULL, and the column is NOT NULL",
        "set.error: an event without a message, an attempt or a worker makes NULL, and the column is NOT NULL; "
        "coalesce(..., '') gives it a value",
    ]
    assert refused(own, "success", "error")[1] == (
        "set.phase: the status error makes what the CHECK constraint jobs_phase_check refuses"
    )


def test_a_new_row_must_fill_what_has_no_default_unless_a_trigger_may(make_own: MakeOwn) -> None:
    ddl = JOBS.replace("DEFAULT 'theirs'", "").replace(
        "status job_status NOT NULL", "url text NOT NULL, status job_status NOT NULL"
    )
    own = make_own(ddl, 'missing = "insert"\n' + TARGET)
    assert refused(own, "success") == [
        'missing = "insert": a new row of jobs has no value for url, payload, which is NOT NULL without a default'
    ]
    own.run("CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$")
    own.run("CREATE TRIGGER fill BEFORE INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION fill()")
    assert refused(own, "success") == []
    (remark,) = target_remarks(own.url, STATE, own.target)
    assert remark.what.startswith("the trigger fill runs before each row of ")


def test_row_level_security_is_remarked_on(own: OwnTable, role: tuple[str, str]) -> None:
    name, url = role
    own.run(f"GRANT SELECT, UPDATE ON jobs TO {name}")
    assert target_remarks(url, STATE, own.target) == []
    own.run("ALTER TABLE jobs ENABLE ROW LEVEL SECURITY")
    (remark,) = target_remarks(url, STATE, own.target)
    assert remark.what.startswith("row-level security may hide rows of ")
    assert problems(own, url) == []
