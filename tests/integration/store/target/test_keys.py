"""Which row an event is about: keys of all kinds, and texts that are no key."""

from __future__ import annotations

import pytest
from integration.store.target.conftest import MakeOwn
from law.events import event
from support.own_table import JOBS, OwnTable

UUID = "0c5a7b1e-8d0f-4a52-9e39-5f2f5d3c1a77"


@pytest.mark.parametrize("text", ["seventeen", "17.5", "99999999999999999999", " "])
def test_a_key_that_does_not_parse_refuses_only_its_event(own: OwnTable, text: str) -> None:
    own.run("INSERT INTO jobs (id) VALUES (16), (18)")
    written = own.write(event("16", 0), event(text, 1), event("18", 2))
    (refused,) = written.rejected
    assert (refused.raw.offset, refused.sqlstate) in [(1, "22P02"), (1, "22003")]
    assert (own.value("status", 16), own.value("status", 18)) == ("running", "running")
    assert own.state(text) is None


@pytest.mark.parametrize("text", ["007", "+7", " 7"])
def test_another_spelling_of_a_number_cannot_make_two_jobs_of_one_row(own: OwnTable, text: str) -> None:
    own.run("INSERT INTO jobs (id) VALUES (7)")
    written = own.write(event("7", 0, status="success"), event(text, 1))
    assert own.value("status", 7) == "done"
    assert [item.raw.offset for item in written.rejected] == [1]
    own.settle()
    assert own.value("status", 7) == "done"


def test_another_spelling_of_a_decimal_cannot_make_two_jobs_of_one_row(make_own: MakeOwn) -> None:
    own = make_own(JOBS.replace("id bigint", "id numeric"))
    own.run("INSERT INTO jobs (id) VALUES (7)")
    written = own.write(event("7", 0, status="success"), event("007", 1))
    assert (own.value("status", 7), [item.raw.offset for item in written.rejected]) == ("done", [1])


KEY = 'table = "jobs"\n[key]\nid = "event.job_id"\n[set]\nstatus = "event.status"'
DOMAINS = "CREATE DOMAIN amount AS numeric; CREATE DOMAIN padded AS char(8);"


@pytest.mark.parametrize(
    ("type_", "good", "other"),
    [
        ("numeric", "7", "7.0"),
        ("numeric", "7.5", "7.50"),
        ("numeric(10)", "7", "7.0"),
        ("numeric(10,2)", "7.00", "7"),
        ("amount", "7", "7.0"),
        ("double precision", "7", "7.0"),
        ("double precision", "0", "-0"),
        ("real", "0.1", ".1"),
        ("char(8)", "mail", "mail "),
    ],
)
def test_two_spellings_that_the_server_holds_to_be_equal_cannot_make_two_jobs_of_one_row(
    make_own: MakeOwn, type_: str, good: str, other: str
) -> None:
    own = make_own(f"{DOMAINS} CREATE TABLE jobs (id {type_} PRIMARY KEY, status text)", KEY)
    own.run(f"INSERT INTO jobs VALUES ('{good}')")
    written = own.write(event(good, 0, status="success"), event(other, 1))
    assert own.run("SELECT status FROM jobs") == [("success",)]
    assert [(item.raw.offset, item.sqlstate) for item in written.rejected] == [(1, "22P02")]
    assert (own.state(good), own.state(other), own.waiting()) == ("success", None, {})


def test_a_char_key_with_its_blanks_is_found_by_the_text_without_them(make_own: MakeOwn) -> None:
    own = make_own("CREATE TABLE jobs (id char(8) PRIMARY KEY, status text)", KEY)
    own.run("INSERT INTO jobs VALUES ('mail'), ('12345678')")
    written = own.write(event("mail", 0), event("12345678", 1), event("123456789", 2))
    assert own.run("SELECT id, status FROM jobs ORDER BY id") == [
        ("12345678", "processing"),
        ("mail    ", "processing"),
    ]
    assert (written.rejected, own.waiting()) == ((), {"123456789": "no row"})


def test_a_key_of_a_domain_over_char_has_no_row_for_a_text_with_blanks(make_own: MakeOwn) -> None:
    own = make_own(f"{DOMAINS} CREATE TABLE jobs (id padded PRIMARY KEY, status text)", KEY)
    own.run("INSERT INTO jobs VALUES ('mail')")
    own.write(event("mail", 0, status="success"), event("mail ", 1))
    assert own.run("SELECT status FROM jobs") == [("success",)]
    assert own.waiting() == {"mail ": "no row"}


def test_a_capital_uuid_cannot_make_two_jobs_of_one_row(make_own: MakeOwn) -> None:
    own = make_own(
        "CREATE TABLE jobs (id uuid PRIMARY KEY, status text)",
        'table = "jobs"\n[key]\nid = "event.job_id"\n[set]\nstatus = "event.status"',
    )
    own.run(f"INSERT INTO jobs VALUES ('{UUID}')")
    written = own.write(event(UUID, 0, status="success"), event(UUID.upper(), 1))
    assert own.value("status", UUID) == "success"
    assert [item.raw.offset for item in written.rejected] == [1]


def test_a_key_that_is_null_is_of_another_program_and_counted(make_own: MakeOwn) -> None:
    own = make_own(
        "CREATE TABLE jobs (id bigint PRIMARY KEY, status text)",
        'table = "jobs"\n[key]\n'
        "id = \"CASE WHEN event.job_id ~ '^[0-9]+$' THEN event.job_id END\"\n"
        '[set]\nstatus = "event.status"',
    )
    own.run("INSERT INTO jobs VALUES (17)")
    written = own.write(event("17", 0), event("report-5", 1))
    assert (written.rejected, own.value("status"), own.waiting()) == ((), "processing", {})
    assert own.state("report-5") == "processing"
    assert written.projected is not None
    assert written.projected.not_ours == 1


def test_a_key_of_several_columns(make_own: MakeOwn) -> None:
    own = make_own(
        "CREATE TABLE jobs (tenant text, id integer, status text, PRIMARY KEY (tenant, id))",
        'table = "jobs"\n[key]\n'
        "tenant = \"split_part(event.job_id, '/', 1)\"\nid = \"split_part(event.job_id, '/', 2)\"\n"
        '[set]\nstatus = "event.status"',
    )
    own.run("INSERT INTO jobs VALUES ('a', 1), ('a', 2), ('b', 1)")
    own.write(event("a/2", 0), event("b/1", 1, status="success"), event("b/2", 2))
    assert own.run("SELECT status FROM jobs ORDER BY tenant, id") == [(None,), ("processing",), ("success",)]
    assert own.waiting() == {"b/2": "no row"}


def test_a_key_of_text_that_is_not_the_primary_key(make_own: MakeOwn) -> None:
    own = make_own(
        "CREATE TABLE jobs (id serial PRIMARY KEY, task_id varchar(12) UNIQUE, status text)",
        'table = "jobs"\n[key]\ntask_id = "event.job_id"\n[set]\nstatus = "event.status"',
    )
    own.run("INSERT INTO jobs (task_id) VALUES ('mail-1'), ('mail-000000')")
    written = own.write(event("mail-1", 0), event("mail-0000001", 1), event("mail-00000000000", 2))
    assert own.run("SELECT status FROM jobs ORDER BY id") == [("processing",), (None,)]
    assert written.rejected == (), "a key that is too long has no row, and is never cut"
    assert set(own.waiting()) == {"mail-0000001", "mail-00000000000"}
