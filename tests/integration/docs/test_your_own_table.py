"""Every command, statement and target file of the page on a table of one's own, in their order."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from integration.docs.test_snippets import shape
from jobstatus_consumer.store import Problem, ProjectingStore, Target, check, migrate
from jobstatus_local import postgres_binaries
from jobstatus_local.kafka import LocalKafka
from law.events import batch, event
from support.deployment import Deployment
from support.inside import run_inside
from support.pages import ROOT, Block, blocks

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

PAGE = ROOT / "docs" / "how-to" / "your-own-table.md"
LINE = re.compile(
    r"export (?P<name>\w+)=(?P<value>\S*)|jobstatus (?P<words>[^|>]*?)(?: > (?P<file>\S+))?(?P<forgiven> \|\| true)?"
)
UUID = "44444444-4444-4444-8444-444444444444"


class Shell:
    """A user's shell: `export` lasts, and a line with a command of ours runs inside this process."""

    def __init__(self, deployed: Deployment, folder: Path) -> None:
        self._deployed = deployed
        self._folder = folder
        self._exported: dict[str, Any] = {}

    def run(self, block: Block) -> str:
        """What the block prints, with the names that a user would have."""
        if block.language == "sql":
            self._deployed.query(block.text)
            return ""
        return self._printed(block).replace(self._deployed.topic, "job-status")

    def problems_of(self, role: str) -> list[Problem]:
        """What keeps a consumer of this role from writing."""
        url = f"{self._deployed.database_url}?options=-crole%3D{role}"
        return check(url, self._exported["JOBSTATUS_TABLE"], target=Target.read(self._exported["JOBSTATUS_TARGET"]))

    def _printed(self, block: Block) -> str:
        if "<<" in block.text:
            return self._bash(block.text)
        return "".join(self._line(line, LINE.fullmatch(line)) for line in block.text.splitlines())

    def _line(self, line: str, match: re.Match[str] | None) -> str:
        if match is None:
            return self._bash(line)
        if match["name"]:
            self._exported[match["name"]] = match["value"]
            return ""
        code = None if match["forgiven"] else 0
        done = run_inside(self._deployed, *shlex.split(match["words"]), code=code, **self._exported)
        if match["file"]:
            (self._folder / match["file"]).write_text(done.stdout, "utf-8")
            return ""
        return done.stdout

    def _bash(self, text: str) -> str:
        programs = postgres_binaries.packaged_install() / "bin"
        env = {**self._deployed.environ, **self._exported, "PATH": f"{programs}:{os.environ['PATH']}", "TZ": "UTC"}
        bash = [shutil.which("bash") or "bash", "-euo", "pipefail", "-c", text]
        done = subprocess.run(bash, env=env, cwd=self._folder, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture
def shell(kafka: LocalKafka, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """A shell in an empty folder, with nothing made yet."""
    monkeypatch.chdir(tmp_path)
    name = uuid.uuid4().hex[:10]
    yield Shell(
        Deployment(kafka.bootstrap_servers, database_url, f"events-{name}", f"group-{name}", tmp_path), tmp_path
    )
    with psycopg.connect(database_url, autocommit=True) as connection:
        if connection.execute("SELECT FROM pg_roles WHERE rolname = 'consumer_of_jobs'").fetchone():
            connection.execute("DROP OWNED BY consumer_of_jobs")
            connection.execute("DROP ROLE consumer_of_jobs")


def test_every_command_runs_and_prints_what_the_page_says(shell: Shell) -> None:
    printed: str | None = None
    for block in blocks(PAGE):
        if block.runs or block.language == "sql":
            printed = shell.run(block)
            if "CREATE ROLE" in block.text:
                assert shell.problems_of("consumer_of_jobs") == []
        elif block.language == "text" and block.follows and printed is not None:
            missing = [line for line in shape(block.text) if line not in shape(printed)]
            assert missing == [], f"{block.page}:{block.line} is not what is printed:\n{printed}"


def section(title: str) -> list[Block]:
    text = PAGE.read_text("utf-8")
    start = text[: text.index(f"\n## {title}\n")].count("\n") + 1
    following = text.find("\n## ", text.index(f"\n## {title}\n") + 1)
    end = text[:following].count("\n") + 1
    return [block for block in blocks(PAGE) if start < block.line <= end]


@pytest.mark.parametrize(
    ("title", "row", "job_id", "shown"),
    [
        (
            "Django",
            f"INSERT INTO shop_job VALUES ('{UUID}', 'new', '', 0, now(), now())",
            UUID,
            {"status": "failed", "error": "disk full", "attempts": 2},
        ),
        (
            "SQLAlchemy",
            "INSERT INTO job VALUES (17, 'NEW', NULL, NULL, 1)",
            "17",
            {"status": "FAILED", "error": "disk full", "started_at": "2026-01-01T12:00:00", "version": 1},
        ),
    ],
)
def test_the_file_for_an_orm_writes_the_table_that_the_orm_makes(
    database_url: str, tmp_path: Path, title: str, row: str, job_id: str, shown: dict[str, object]
) -> None:
    found = {block.language: block.text for block in section(title)}
    file = tmp_path / "jobs.toml"
    file.write_text(found["toml"], "utf-8")
    target = Target.read(str(file))
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(found["sql"].encode())
        connection.execute(row.encode())
        migrate(database_url, "jobs_status", target=target)
        with ProjectingStore(database_url, "jobs_status", target) as store:
            store.connect()
            events = [
                event(job_id, 0, attempt=1),
                event(job_id, 1, attempt=2, time=1, status="error", error_message="disk full"),
                event(job_id, 2, time=2, status="paused"),
            ]
            refused = store.write(batch(events)).rejected
        assert [item.raw.offset for item in refused] == [2]
        ((after,),) = connection.execute(f"SELECT to_jsonb(job) FROM {target.table} AS job".encode()).fetchall()
        assert {name: after[name] for name in shown} == shown


def test_the_file_for_a_library_is_the_one_in_the_examples() -> None:
    (block,) = [block for block in section("The table of a job library") if block.language == "toml"]
    assert block.text == (ROOT / "docs" / "examples" / "targets" / "procrastinate" / "target.toml").read_text("utf-8")


def test_the_page_links_to_every_file_of_the_examples() -> None:
    linked = set(re.findall(r"examples/targets/(\w+)/target\.toml", PAGE.read_text("utf-8")))
    assert linked == {path.parent.name for path in (ROOT / "docs" / "examples" / "targets").glob("*/target.toml")}
