"""A table of the user's own is written in the same statement as the state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from jobstatus_consumer.errors import DatabaseAwayError, SettingsError, TargetError, WaitingBudgetError
from jobstatus_consumer.store import Limits, ProjectingStore, Row, RowRepair, Store, Table, Target, check, migrate
from law.events import batch, event
from psycopg.rows import TupleRow
from support.waiting import until

Database = psycopg.Connection[TupleRow]
Open = Callable[..., ProjectingStore]

JOBS = """
CREATE TABLE jobs (
  id bigint PRIMARY KEY, status text NOT NULL DEFAULT 'new', error text, other text DEFAULT 'theirs',
  updated_at timestamptz NOT NULL DEFAULT 'epoch'
)
"""
FILE = """
table = "jobs"
[key]
id = "event.job_id"
[set]
status = "event.status"
error = "event.error_message"
"""


@pytest.fixture
def target_file(tmp_path: Path) -> Callable[[str], Target]:
    def write(text: str) -> Target:
        path = tmp_path / "jobs.toml"
        path.write_text(text)
        return Target.read(str(path))

    return write


@pytest.fixture
def database(empty_url: str) -> Iterator[Database]:
    """The application's connection."""
    with psycopg.connect(empty_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def opened_store(empty_url: str, target_file: Callable[[str], Target]) -> Iterator[Open]:
    stores = []

    def make(text: str = FILE, **given: Any) -> ProjectingStore:
        target = target_file(text)
        migrate(empty_url, "jobs_status", target=target)
        store = ProjectingStore(empty_url, "jobs_status", target, **given)
        stores.append(store)
        store.connect()
        return store

    yield make
    for store in stores:
        store.close()


def rows(database: Database, query: str = "SELECT id, status, error FROM jobs ORDER BY id") -> list[TupleRow]:
    return database.execute(query).fetchall()


def waiting(database: Database) -> list[str]:
    return [job for (job,) in rows(database, "SELECT job_id FROM jobs_status_waiting ORDER BY job_id")]


def test_the_row_is_written_with_the_state_and_nothing_else_of_it_changes(
    opened_store: Open, database: Database
) -> None:
    database.execute(JOBS)
    database.execute("INSERT INTO jobs (id) VALUES (1), (2)")

    written = opened_store().write(batch([event("1", 0, status="error", error_message="broken")]))

    assert written.projected == (1, 0, 0, 0, 0, 0)
    assert rows(database, "SELECT id, status, error, other FROM jobs ORDER BY id") == [
        (1, "error", "broken", "theirs"),
        (2, "new", None, "theirs"),
    ]


def test_an_event_that_changes_nothing_in_the_state_does_not_touch_the_row(
    opened_store: Open, database: Database
) -> None:
    database.execute(JOBS)
    database.execute("INSERT INTO jobs (id) VALUES (1)")
    store = opened_store(FILE + 'updated_at = "clock_timestamp()"\n')
    store.write(batch([event("1", 5, status="success")]))
    before = rows(database, "SELECT ctid, updated_at, status FROM jobs")

    written = store.write(batch([event("1", 4, status="processing"), event("1", 5, status="success")], ()))

    assert written.applied == 0
    assert rows(database, "SELECT ctid, updated_at, status FROM jobs") == before


def test_a_job_without_a_row_waits_and_is_written_once_the_row_comes(opened_store: Open, database: Database) -> None:
    database.execute(JOBS)
    store = opened_store()
    assert store.write(batch([event("1", 0), event("2", 1)])).projected == (0, 0, 2, 0, 0, 0)
    assert store.settle() == (0, 0, 0, 0, 0, 0)

    database.execute("INSERT INTO jobs (id) VALUES (2)")

    assert store.settle() == (1, 0, 0, 1, 0, 0)
    assert rows(database) == [(2, "processing", None)]
    assert waiting(database) == ["1"]
    assert store.waiting.jobs == 1


def test_a_row_that_the_application_has_locked_is_never_waited_for(
    opened_store: Open, database: Database, empty_url: str
) -> None:
    database.execute(JOBS)
    database.execute("INSERT INTO jobs (id) VALUES (1), (2)")
    store = opened_store()
    with psycopg.connect(empty_url) as application:
        application.execute("SELECT FROM jobs WHERE id = 1 FOR UPDATE")
        assert store.write(batch([event("1", 0), event("2", 1)])).projected == (1, 0, 1, 0, 0, 0)
        assert store.settle() == (0, 0, 0, 0, 0, 0)
    assert store.settle() == (1, 0, 0, 1, 0, 0)
    assert rows(database) == [(1, "processing", None), (2, "processing", None)]


def test_a_later_event_writes_the_row_of_a_job_that_waited(opened_store: Open, database: Database) -> None:
    database.execute(JOBS)
    store = opened_store()
    store.write(batch([event("1", 0)]))
    database.execute("INSERT INTO jobs (id) VALUES (1)")

    assert store.write(batch([event("1", 1, status="success")])).projected == (1, 0, 0, 1, 0, 0)
    assert waiting(database) == []


def test_insert_makes_the_row(opened_store: Open, database: Database) -> None:
    database.execute(JOBS)
    database.execute("INSERT INTO jobs (id) VALUES (2)")
    store = opened_store('missing = "insert"\n' + FILE)

    assert store.write(batch([event("1", 0), event("2", 1)])).projected == (1, 1, 0, 0, 0, 0)
    assert rows(database) == [(1, "processing", None), (2, "processing", None)]


def test_insert_parks_what_is_locked(opened_store: Open, database: Database, empty_url: str) -> None:
    database.execute(JOBS)
    database.execute("INSERT INTO jobs (id) VALUES (1)")
    store = opened_store('missing = "insert"\n' + FILE)
    with psycopg.connect(empty_url) as application:
        application.execute("UPDATE jobs SET other = 'x' WHERE id = 1")
        assert store.write(batch([event("1", 0)])).projected == (0, 0, 1, 0, 0, 0)
    assert store.settle() == (1, 0, 0, 1, 0, 0)
    assert rows(database) == [(1, "processing", None)]


def test_ignore_leaves_absent_rows_out_and_parks_what_is_locked(
    opened_store: Open, database: Database, empty_url: str
) -> None:
    database.execute(JOBS)
    database.execute("INSERT INTO jobs (id) VALUES (1)")
    store = opened_store('missing = "ignore"\n' + FILE)
    with psycopg.connect(empty_url) as application:
        application.execute("SELECT FROM jobs WHERE id = 1 FOR UPDATE")
        assert store.write(batch([event("1", 0), event("2", 1)])).projected == (0, 0, 1, 0, 0, 0)
    database.execute("INSERT INTO jobs (id) VALUES (2)")
    assert store.settle() == (1, 0, 0, 1, 0, 0)
    assert rows(database) == [(1, "processing", None), (2, "new", None)]


def test_where_is_judged_on_the_row_as_it_is(opened_store: Open, database: Database) -> None:
    database.execute(JOBS)
    database.execute("INSERT INTO jobs (id, status) VALUES (1, 'cancelled'), (2, 'new')")
    store = opened_store("where = \"job.status <> 'cancelled'\"\n" + FILE)

    assert store.write(batch([event("1", 0), event("2", 1)])).projected == (1, 0, 0, 0, 0, 0)
    assert rows(database) == [(1, "cancelled", None), (2, "processing", None)]
    assert waiting(database) == []


def test_a_condition_that_is_unknown_leaves_the_row_alone(opened_store: Open, database: Database) -> None:
    database.execute(JOBS)
    database.execute("INSERT INTO jobs (id, other) VALUES (1, NULL), (2, 'mine')")

    written = opened_store("where = \"job.other = 'mine'\"\n" + FILE).write(batch([event("1", 0), event("2", 1)]))

    assert written.projected == (1, 0, 0, 0, 0, 0)
    assert rows(database) == [(1, "new", None), (2, "processing", None)]


@pytest.mark.parametrize("job_id", ["x", "007", " 7", "99999999999999999999", "7\u00a0"])
def test_a_key_that_does_not_parse_refuses_only_its_event(opened_store: Open, database: Database, job_id: str) -> None:
    database.execute(JOBS)
    database.execute("INSERT INTO jobs (id) VALUES (1), (7)")

    written = opened_store().write(batch([event("1", 0), event(job_id, 1)]))

    assert [item.sqlstate[:2] for item in written.rejected] == ["22"]
    assert written.applied == 1
    assert rows(database) == [(1, "processing", None), (7, "new", None)]


def test_a_null_key_is_counted_and_its_state_is_kept(opened_store: Open, database: Database) -> None:
    database.execute(JOBS)
    text = FILE.replace('"event.job_id"', "\"CASE WHEN event.job_id LIKE 'mine-%' THEN substr(event.job_id, 6) END\"")
    database.execute("INSERT INTO jobs (id) VALUES (1)")

    assert opened_store(text).write(batch([event("mine-1", 0), event("2", 1)])).projected == (1, 0, 0, 0, 1, 0)
    assert rows(database, "SELECT job_id FROM jobs_status ORDER BY 1") == [("2",), ("mine-1",)]


def test_a_word_that_the_enum_lacks(opened_store: Open, database: Database) -> None:
    """With the row there it is a dead letter; without it the job waits, and goes by itself once the word is there."""
    database.execute("CREATE TYPE word AS ENUM ('new', 'processing')")
    database.execute("CREATE TABLE jobs (id bigint PRIMARY KEY, status word DEFAULT 'new', error text)")
    database.execute("INSERT INTO jobs (id) VALUES (1), (2)")
    store = opened_store()

    events = [event("1", 0), event("2", 1, status="success"), event("3", 2, status="success"), event("4", 3)]
    written = store.write(batch(events))
    assert [item.raw.offset for item in written.rejected] == [1]
    database.execute("INSERT INTO jobs (id) VALUES (3), (4)")
    store.settle()
    assert rows(database) == [(1, "processing", None), (2, "new", None), (3, "new", None), (4, "processing", None)]
    assert rows(database, "SELECT tries, reason FROM jobs_status_waiting") == [(1, "InvalidTextRepresentation 22P02")]

    database.execute("ALTER TYPE word ADD VALUE 'success'")
    database.execute("UPDATE jobs_status_waiting SET next_try = now()")
    store.settle()
    store.write(batch([event("2", 1, status="success")], ()))
    assert rows(database, "SELECT id, status FROM jobs WHERE id IN (2, 3)") == [(2, "success"), (3, "success")]


def test_where_the_row_counts_each_event_is_a_statement_of_its_own(opened_store: Open, database: Database) -> None:
    database.execute(JOBS.replace("error text", "error text, seen text DEFAULT ''"))
    database.execute("INSERT INTO jobs (id) VALUES (1)")
    store = opened_store(FILE + "seen = \"job.seen || event.status || ' '\"\n")

    events = [event("1", 0, status="pending"), event("1", 1), event("1", 2, status="success")]
    assert store.write(batch(events)).applied == 3
    assert rows(database, "SELECT seen FROM jobs") == [("pending processing success ",)]


def test_a_table_with_update_triggers_sees_each_event(opened_store: Open, database: Database) -> None:
    database.execute(JOBS)
    database.execute("CREATE TABLE seen (status text)")
    database.execute(
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen VALUES (new.status);"
        " RETURN new; END $$; CREATE TRIGGER note AFTER UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION note()"
    )
    database.execute("INSERT INTO jobs (id) VALUES (1)")

    opened_store().write(batch([event("1", 0, status="pending"), event("1", 1, status="success")]))

    assert rows(database, "SELECT status FROM seen") == [("pending",), ("success",)]


def test_a_trigger_that_keeps_a_row_is_counted(opened_store: Open, database: Database) -> None:
    database.execute(JOBS)
    database.execute(
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF new.id = 1 THEN RETURN NULL; END IF;"
        " RETURN new; END $$; CREATE TRIGGER keep BEFORE UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION keep()"
    )
    database.execute("INSERT INTO jobs (id) VALUES (1), (2)")

    assert opened_store().write(batch([event("1", 0), event("2", 1)])).projected == (1, 0, 0, 0, 0, 1)
    assert waiting(database) == []


@pytest.mark.parametrize(
    ("table", "key", "job_id", "inserted"),
    [
        ("id smallint PRIMARY KEY, status smallint", "event.job_id", "7", "7"),
        ("id uuid PRIMARY KEY, status smallint", "event.job_id", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", None),
        ("id varchar(20) UNIQUE, status smallint", "event.job_id", "job-7", None),
        ("id char(8) UNIQUE, status smallint", "event.job_id", "job-7", None),
        ("id text PRIMARY KEY, status smallint", "substr(event.job_id, 5) -- ü %", "job-seven", "seven"),
    ],
)
def test_keys_of_every_type(
    opened_store: Open, database: Database, table: str, key: str, job_id: str, inserted: str | None
) -> None:
    database.execute(f"CREATE TABLE jobs ({table})")
    database.execute("INSERT INTO jobs (id, status) VALUES (%s, 0)", (inserted or job_id,))
    store = opened_store(f"""table = "jobs"
[key]
id = "{key}"
[set]
status = "CASE event.status WHEN 'processing' THEN 1 ELSE 100 % 98 END"
""")
    store.write(batch([event(job_id, 0)]))
    assert rows(database, "SELECT status FROM jobs") == [(1,)]
    store.write(batch([event(job_id, 1, status="it's {done} 100 %")]))
    assert rows(database, "SELECT status FROM jobs") == [(2,)]


def test_a_composite_key_of_a_partitioned_table_called_found_in_another_schema(
    opened_store: Open, database: Database, empty_url: str
) -> None:
    schema = rows(database, "SELECT current_schema()")[0][0]
    other = f"{schema}_other"
    database.execute(
        f'CREATE SCHEMA {other}; CREATE TABLE {other}.found (queue text, "Nr" int, "100 %" text,'
        ' PRIMARY KEY (queue, "Nr")) PARTITION BY LIST (queue)'
    )
    try:
        database.execute(f"CREATE TABLE {other}.a PARTITION OF {other}.found FOR VALUES IN ('a')")
        database.execute(f"INSERT INTO {other}.found VALUES ('a', 7), ('a', 8)")
        store = opened_store(f"""table = "{other}.found"
[key]
queue = "split_part(event.job_id, '/', 1)"
Nr = "split_part(event.job_id, '/', 2)"
[set]
"100 %" = "event.status"
""")
        assert store.write(batch([event("a/7", 0), event("b/7", 1)])).projected == (1, 0, 1, 0, 0, 0)
        assert rows(database, f'SELECT "Nr", "100 %" FROM {other}.found ORDER BY 1') == [(7, "processing"), (8, None)]
    finally:
        database.execute(f"DROP SCHEMA {other} CASCADE")


def test_a_view_with_soft_delete(opened_store: Open, database: Database) -> None:
    database.execute(JOBS.replace("TABLE jobs", "TABLE every_job").replace("error text", "error text, gone bool"))
    database.execute("CREATE VIEW jobs AS SELECT id, status, error FROM every_job WHERE gone IS NOT TRUE")
    database.execute("INSERT INTO every_job (id, gone) VALUES (1, false), (2, true)")

    assert opened_store().write(batch([event("1", 0), event("2", 1)])).projected == (1, 0, 1, 0, 0, 0)
    assert rows(database, "SELECT id, status FROM every_job ORDER BY id") == [(1, "processing"), (2, "new")]


def test_too_many_waiting_jobs_stop_the_write_until_their_rows_come(opened_store: Open, database: Database) -> None:
    database.execute(JOBS)
    store = opened_store(waiting_budget=2)
    store.write(batch([event("1", 0), event("2", 1)]))

    with pytest.raises(WaitingBudgetError, match=r"^2 jobs wait for their row in jobs.*no offset was committed"):
        store.write(batch([event("3", 2)]))
    assert rows(database, "SELECT count(*) FROM jobs_status") == [(2,)]

    database.execute("INSERT INTO jobs (id) VALUES (1)")
    store.write(batch([event("3", 2)]))
    assert waiting(database) == ["2", "3"]


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (
            "event.error_message",
            "event.nothing",
            r"set\.error: UndefinedColumn \(42703\): column event\.nothing does not",
        ),
        ("event.error_message", "1 +", r"set\.error: SyntaxError"),
        ('status = "event', 'stat = "event', r"set\.stat: jobs has no column stat"),
        ('id = "event', 'other = "event', r"no unique index on other"),
        ('"jobs"', '"absent"', r"there is no table absent"),
        ('"jobs"', '"jobs_status"', r"is the managed table jobs_status .*JOBSTATUS_TABLE to another name"),
        ('"jobs"', '"jobs_status_progress"', r"is the managed table jobs_status or one beside it"),
        ("event.error_message", "ARRAY[1]::int[]::point", r"set\.error: CannotCoerce"),
    ],
)
def test_a_target_file_that_does_not_fit_is_named_before_anything_is_written(
    opened_store: Open, database: Database, old: str, new: str, what: str
) -> None:
    database.execute(JOBS)
    opened_store()
    assert FILE.count(old) == 1
    with pytest.raises(TargetError, match=what):
        opened_store(FILE.replace(old, new))


def test_the_target_file_is_read_strictly(target_file: Callable[[str], Target], tmp_path: Path) -> None:
    for old, new, what in (
        ('table = "jobs"', "", "table is missing"),
        ('table = "jobs"', "table = 7", "table is of the wrong type"),
        ('table = "jobs"', 'table = "a.b.c"', "table the table name 'a.b.c'"),
        ("[key]", 'missing = "now"\n[key]', "missing is 'now'; wanted wait or insert or ignore"),
        ("[key]", 'wehre = "x"\n[key]', "wehre is unknown; known are table, missing"),
        ("[key]", "where = ''\n[key]", "where is no SQL expression"),
        ("[key]", "every_event = 1\n[key]", "every_event is of the wrong type; wanted true or false"),
        ('id = "event.job_id"', "", "key is missing"),
        ('status = "event.status"', "status = 3", "set.status is no SQL expression"),
        ("status =", "id =", "set.id is a column of the key"),
        ("[key]", "[key", "is no TOML"),
    ):
        with pytest.raises(SettingsError, match=what) as caught:
            target_file(FILE.replace(old, new))
        assert str(tmp_path / "jobs.toml") in str(caught.value)
        assert "Nothing was read or written" in str(caught.value)
    with pytest.raises(SettingsError, match="No such file"):
        Target.read(str(tmp_path / "absent.toml"))


def test_without_a_target_there_is_no_waiting_table_and_no_difference(empty_url: str, database: Database) -> None:
    migrate(empty_url, "jobs")
    assert not check(empty_url, "jobs")
    with Store(empty_url, "jobs") as store:
        store.connect()
        assert store.write(batch([event()])).projected is None
    assert rows(database, "SELECT to_regclass('jobs_waiting')") == [(None,)]


def test_a_state_that_is_repaired_waits_until_its_row_is_written(
    opened_store: Open, database: Database, empty_url: str
) -> None:
    database.execute(JOBS)
    database.execute("INSERT INTO jobs (id) VALUES (1)")
    store, item = opened_store(), event("1", 3, status="success")
    store.write(batch([event("1", 3)]))
    with Table(empty_url, "jobs_status") as table:
        row = Row.made((None, item.time, item.log_id, 3), item.content)
        repair = RowRepair("1", row, item.log_id, 3, keep_attempt=False, keep_latest=False)
        assert table.repair_rows([repair, repair._replace(job_id="2")]) == {"1"}
    assert rows(database, "SELECT job_id, reason FROM jobs_status_waiting") == [("1", "changed")]
    store.count_waiting()
    assert store.settle() == (1, 0, 0, 1, 0, 0)
    assert rows(database) == [(1, "success", None)]


def test_what_already_waits_goes_on_as_it_is(opened_store: Open, database: Database) -> None:
    database.execute(JOBS)
    store = opened_store()
    store.write(batch([event("1", 0)]))
    database.execute("UPDATE jobs_status_waiting SET since = 'epoch', tries = 7, reason = 'mine'")

    assert store.write(batch([event("1", 1)])).projected == (0, 0, 0, 0, 0, 0)

    found = rows(database, "SELECT since = 'epoch', tries, reason FROM jobs_status_waiting")
    assert (found, store.waiting.jobs) == ([(True, 7, "mine")], 1)


def test_what_waits_says_why(opened_store: Open, database: Database, empty_url: str) -> None:
    database.execute(JOBS)
    database.execute("INSERT INTO jobs (id) VALUES (1)")
    store = opened_store()
    with psycopg.connect(empty_url) as application:
        application.execute("SELECT FROM jobs WHERE id = 1 FOR UPDATE")
        store.write(batch([event("1", 0), event("2", 1)]))
    assert rows(database, "SELECT job_id, tries, reason FROM jobs_status_waiting ORDER BY 1") == [
        ("1", 0, "locked"),
        ("2", 0, "no row"),
    ]


def test_what_waits_is_tried_page_by_page(
    opened_store: Open, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobstatus_consumer.store.projecting.PAGE", 2)
    database.execute(JOBS)
    store = opened_store()
    store.write(batch([event(str(number), number) for number in range(1, 6)]))
    database.execute("INSERT INTO jobs (id) VALUES (2), (3), (5)")

    found = []
    for _ in range(3):
        store.settle()
        found.append((waiting(database), store.page_left))

    assert found == [(["1", "3", "4", "5"], True), (["1", "4", "5"], True), (["1", "4"], False)]
    assert store.waiting.jobs == 2


def test_pages_that_take_too_long_become_shorter(opened_store: Open, database: Database) -> None:
    database.execute(JOBS)
    database.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.4); RETURN new; END $$;"
        " CREATE TRIGGER slow BEFORE UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION slow()"
    )
    store = opened_store(limits=Limits(statement=1.0))
    store.write(batch([event(str(number), number) for number in range(5)]))
    database.execute("INSERT INTO jobs (id) SELECT generate_series(0, 4)")

    with pytest.raises(DatabaseAwayError):
        store.settle()

    def settled() -> bool:
        database.execute("UPDATE jobs_status_waiting SET next_try = now()")
        with suppress(DatabaseAwayError):
            store.settle()
        return waiting(database) == []

    until(settled, "all are written")
    assert rows(database, "SELECT DISTINCT status FROM jobs") == [("processing",)]


def test_a_job_that_is_refused_is_tried_more_and_more_rarely_and_at_last_every_five_minutes(
    opened_store: Open, database: Database
) -> None:
    database.execute(JOBS.replace("error text", "error text CHECK (error <> 'bad')"))
    store = opened_store()
    store.write(batch([event("1", 0, error_message="bad"), event("2", 1)]))
    database.execute("INSERT INTO jobs (id) VALUES (1)")
    seconds = []
    for tries in (0, 1, 2, 8, 50):
        database.execute("UPDATE jobs_status_waiting SET tries = %s, next_try = now() WHERE job_id = '1'", (tries,))
        store.settle()
        ((counted, wait),) = rows(
            database,
            "SELECT tries, extract(epoch FROM next_try - now())::float8 FROM jobs_status_waiting WHERE job_id = '1'",
        )
        assert counted == tries + 1
        seconds.append(round(wait + 0.5))
    # what has passed since the refusal is missing from it
    for found, most in zip(seconds, (2, 4, 8, 300, 300), strict=True):
        assert most - 60 <= found <= most
    assert rows(database, "SELECT next_try > now(), tries FROM jobs_status_waiting WHERE job_id = '2'") == [(False, 0)]

    database.execute("UPDATE jobs SET error = NULL; ALTER TABLE jobs DROP CONSTRAINT jobs_error_check")
    assert store.settle().written == 0
    database.execute("UPDATE jobs_status_waiting SET next_try = now()")
    assert store.settle().written == 1
