"""`jobstatus target init`: what it writes loads, fits its table, and takes the usual words."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from jobstatus_consumer.store import ProjectingStore, Target, check, migrate, refused_words
from law.events import batch, event
from support.deployment import Deployment
from support.inside import run_inside
from support.pages import ROOT

pytestmark = pytest.mark.postgres

WORDS = ("error", "pending", "processing", "success")
UUID = "44444444-4444-4444-8444-444444444444"
HAND = """
CREATE TYPE job_status AS ENUM ('new', 'running', 'done', 'failed', 'cancelled');
CREATE TABLE jobs (
  id uuid PRIMARY KEY, url text NOT NULL, status job_status NOT NULL DEFAULT 'new', error_message text,
  started_at timestamptz, finished_at timestamptz, updated_at timestamptz NOT NULL DEFAULT now()
)"""
DJANGO = """
CREATE TABLE jobs (
  id uuid NOT NULL PRIMARY KEY, status varchar(12) NOT NULL, error text NOT NULL,
  attempts smallint NOT NULL CHECK (attempts >= 0), created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL
)"""
SQLALCHEMY = """
CREATE TYPE status AS ENUM ('NEW', 'RUNNING', 'DONE', 'FAILED');
CREATE TABLE jobs (
  id SERIAL NOT NULL, status status NOT NULL, error VARCHAR(20), started_at TIMESTAMP, version INTEGER NOT NULL,
  PRIMARY KEY (id)
)"""
CHECKED = """
CREATE TABLE jobs (
  "The Job" text, "group" int, state text CHECK (state IN ('queued', 'active', 'completed', 'failed')),
  last_error varchar(30) NOT NULL DEFAULT '', done_at timestamp NOT NULL DEFAULT now(), started_at bigint,
  PRIMARY KEY ("The Job", "group")
)"""


def made(url: str, folder: Path, *arguments: str, code: int = 0, **environ: str) -> str:
    """What `target init jobs` prints, or what is wrong."""
    deployed = Deployment("127.0.0.1:9", url, "events", "group", folder)
    done = run_inside(deployed, "target", "init", *arguments, code=code, **environ)
    return done.stdout if code == 0 else done.stderr


@pytest.mark.parametrize(
    ("ddl", "row", "job_id", "shown"),
    [
        (HAND, f"'{UUID}', 'https://example.org'", UUID, {"status": "failed", "error_message": "no disk"}),
        (DJANGO, f"'{UUID}', 'new', '', 0, now(), now()", UUID, {"status": "error", "error": "no disk", "attempts": 2}),
        (SQLALCHEMY, "17, 'NEW', NULL, NULL, 1", "17", {"status": "FAILED", "started_at": "2026-01-01T12:00:00"}),
        (CHECKED, "'a', 7", "a/7", {"state": "failed", "last_error": "no disk", "done_at": "2026-01-01T12:00:00"}),
    ],
    ids=["by hand", "django", "sqlalchemy", "check and composite key"],
)
def test_the_file_of_a_usual_table_loads_passes_check_and_writes_it(
    empty_url: str, tmp_path: Path, ddl: str, row: str, job_id: str, shown: dict[str, object]
) -> None:
    with psycopg.connect(empty_url, autocommit=True) as connection:
        connection.execute(ddl.encode())
        connection.execute(f"INSERT INTO jobs VALUES ({row})".encode())
        file = tmp_path / "jobs.toml"
        file.write_text(made(empty_url, tmp_path, "jobs"))
        target = Target.read(str(file))
        migrate(empty_url, "jobs_status", target=target)
        assert check(empty_url, "jobs_status", target=target) == []
        assert refused_words(empty_url, "jobs_status", target, WORDS) == []
        with ProjectingStore(empty_url, "jobs_status", target) as store:
            store.connect()
            last = event(job_id, 1, attempt=2, status="error", error_message="no disk")
            assert store.write(batch([event(job_id, 0, attempt=1), last])).rejected == ()
        ((after,),) = connection.execute("SELECT to_jsonb(jobs) FROM jobs").fetchall()
        assert {name: after[name] for name in shown} == shown


def test_the_file_says_what_each_word_becomes_and_what_is_left(empty_url: str, tmp_path: Path) -> None:
    with psycopg.connect(empty_url, autocommit=True) as connection:
        connection.execute(HAND.encode())
        connection.execute(b"CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$")
        connection.execute(b"CREATE TRIGGER touch BEFORE UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION touch()")
    text = made(empty_url, tmp_path, "jobs", JOBSTATUS_STATUSES="processing,success,error,archived")
    assert text == (Path(__file__).parent / "draft.toml").read_text()


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "docs" / "examples" / "targets").iterdir()))
def test_the_file_of_a_job_librarys_table_fits_it(database_url: str, tmp_path: Path, name: str) -> None:
    folder = ROOT / "docs" / "examples" / "targets" / name
    table = str(Target.read(str(folder / "target.toml")).table)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute((folder / "table.sql").read_bytes())
    file = tmp_path / "jobs.toml"
    file.write_text(made(database_url, tmp_path, table))
    target = Target.read(str(file))
    migrate(database_url, "jobs_status", target=target)
    assert check(database_url, "jobs_status", target=target) == []


def test_it_writes_a_file_once_and_names_what_is_wrong(empty_url: str, tmp_path: Path) -> None:
    with psycopg.connect(empty_url, autocommit=True) as connection:
        connection.execute(HAND.encode())
        connection.execute(b"CREATE TABLE plain (id bigint)")
    file = tmp_path / "jobs.toml"
    assert made(empty_url, tmp_path, "jobs", "--output", str(file)) == ""
    assert Target.read(str(file)).key[0].column == "id"
    assert f"{file} exists already. Nothing was written" in made(
        empty_url, tmp_path, "jobs", "--output", str(file), code=2
    )
    assert "there is no table nowhere in this database" in made(empty_url, tmp_path, "nowhere", code=1)
    assert "plain has no unique index" in made(empty_url, tmp_path, "plain", code=1)
