"""What the application's table refuses: an unknown word, a constraint, a trigger. Everything else is written."""

from __future__ import annotations

import pytest
from integration.store.target.conftest import MakeOwn
from law.events import event
from support.own_table import TARGET, OwnTable

THREE = (event("16", 0), event("17", 1), event("18", 2))


@pytest.fixture
def own(make_own: MakeOwn) -> OwnTable:
    own = make_own()
    own.run("INSERT INTO jobs (id) VALUES (16), (17), (18)")
    return own


def trigger(own: OwnTable, body: str, when: str = "BEFORE UPDATE") -> None:
    """A trigger of the application; the body may end with RETURN itself."""
    own.run(f"CREATE FUNCTION theirs() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN new; END $$")
    own.run(f"CREATE TRIGGER theirs {when} ON jobs FOR EACH ROW EXECUTE FUNCTION theirs()")


def statuses(own: OwnTable) -> list[str]:
    return [str(status) for (status,) in own.run("SELECT status FROM jobs ORDER BY id")]


def test_a_missing_word_of_an_enum_is_refused_while_the_row_is_there(own: OwnTable) -> None:
    paused = event("17", 1, status="paused")
    (refused,) = own.write(THREE[0], paused, THREE[2]).rejected
    assert (refused.raw.offset, refused.stage, refused.sqlstate) == (1, "write", "22P02")
    assert (statuses(own), own.state("17"), own.waiting()) == (["running", "new", "running"], None, {})
    own.run("ALTER TYPE job_status ADD VALUE 'paused'")
    assert own.write(paused).rejected == ()
    assert own.value("status") == "paused"


def test_a_missing_word_of_an_enum_waits_alone_while_the_row_is_not_there(own: OwnTable) -> None:
    own.run("DELETE FROM jobs")
    own.write(THREE[0], event("17", 1, status="paused"), THREE[2])
    assert set(own.waiting()) == {"16", "17", "18"}
    own.run("INSERT INTO jobs (id) VALUES (16), (17), (18)")
    own.settle()
    own.settle()
    assert statuses(own) == ["running", "new", "running"]
    ((job, reason),) = own.waiting().items()
    assert job == "17"
    assert "22P02" in reason
    own.run("ALTER TYPE job_status ADD VALUE 'paused'")
    own.settle()
    assert (own.value("status"), own.waiting()) == ("paused", {})


@pytest.mark.parametrize("when", ["BEFORE UPDATE", "AFTER UPDATE"])
def test_a_trigger_that_raises_refuses_only_its_row(own: OwnTable, when: str) -> None:
    trigger(own, "IF new.id = 17 THEN RAISE EXCEPTION 'not this one'; END IF;", when)
    (refused,) = own.write(*THREE).rejected
    assert (refused.raw.offset, refused.sqlstate) == (1, "P0001")
    assert statuses(own) == ["running", "new", "running"]


def test_a_row_that_a_trigger_holds_is_counted_and_the_state_is_kept(own: OwnTable) -> None:
    trigger(own, "IF new.id = 17 THEN RETURN null; END IF;")
    written = own.write(*THREE)
    assert (written.applied, written.rejected, statuses(own)) == (3, (), ["running", "new", "running"])
    assert own.state("17") == "processing"
    assert written.projected is not None
    assert written.projected.held == 1


@pytest.mark.parametrize("when", ["BEFORE UPDATE", "AFTER UPDATE"])
def test_a_trigger_that_changes_a_later_row_of_the_batch_costs_nobody_an_event(own: OwnTable, when: str) -> None:
    trigger(own, "IF new.id = 16 THEN UPDATE jobs SET payload = 'touched' WHERE id = 17; END IF;", when)
    assert own.write(*THREE).rejected == ()
    own.settle()
    assert (statuses(own), own.waiting()) == (["running", "running", "running"], {})
    assert own.value("payload") == "touched"


def test_a_constraint_refuses_only_its_row(own: OwnTable) -> None:
    own.run("ALTER TABLE jobs ADD CONSTRAINT told CHECK (status <> 'failed' OR error_message IS NOT NULL)")
    (refused,) = own.write(THREE[0], event("17", 1, status="error"), THREE[2]).rejected
    assert (refused.raw.offset, refused.sqlstate, refused.where) == (1, "23514", "told")
    assert statuses(own) == ["running", "new", "running"]


def test_an_old_row_that_breaks_a_newer_constraint_on_another_column_refuses_only_its_event(own: OwnTable) -> None:
    own.run("UPDATE jobs SET payload = 'old' WHERE id = 17")
    own.run("ALTER TABLE jobs ADD CONSTRAINT newer CHECK (payload <> 'old') NOT VALID")
    (refused,) = own.write(*THREE).rejected
    assert (refused.raw.offset, refused.sqlstate, refused.where) == (1, "23514", "newer")
    assert statuses(own) == ["running", "new", "running"]


def test_a_place_that_another_job_of_the_batch_gives_up_is_taken_in_any_order(own: OwnTable) -> None:
    """As Procrastinate's lock: the index is on a column of the application's, and its condition on the status."""
    own.run("INSERT INTO jobs (id, payload) VALUES (2, 'lock'), (10, 'lock')")
    own.run("CREATE UNIQUE INDEX one ON jobs (payload) WHERE status = 'running' AND payload = 'lock'")
    own.write(event("2", 3))
    assert own.write(event("2", 4, status="success"), event("10", 5), event("16", 6)).rejected == ()
    assert (own.value("status", 2), own.value("status", 10)) == ("done", "running")
    (refused,) = own.write(event("2", 7)).rejected
    assert (refused.sqlstate, refused.where) == ("23505", "one")


def test_a_text_that_is_too_long_is_refused_and_never_cut(own: OwnTable) -> None:
    (refused,) = own.write(THREE[0], event("17", 1, status="error", error_message="x" * 201), THREE[2]).rejected
    assert (refused.raw.offset, refused.sqlstate) == (1, "22001")


def test_an_expression_that_fails_for_one_event_refuses_only_that(make_own: MakeOwn) -> None:
    own = make_own(target=TARGET.replace('"event.error_message"', '"(100 / length(event.status))::text"'))
    own.run("INSERT INTO jobs (id) VALUES (16), (17), (18)")
    own.write(*THREE)
    assert own.value("error_message") == "10"
    broken = make_own("SELECT 1", TARGET.replace('"event.error_message"', "'(1 / (length(event.status) - 5))::text'"))
    (refused,) = broken.write(event("16", 3), event("17", 4, status="error"), event("18", 5)).rejected
    assert (refused.raw.offset, refused.sqlstate) == (4, "22012")
