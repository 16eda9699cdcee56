"""Every command with exactly the rights that `jobstatus grants` and `jobstatus acls` print, and without each."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from jobstatus_consumer.config import Settings, load_settings
from jobstatus_consumer.console import Options
from jobstatus_consumer.kafka import PRINCIPALS, Right
from jobstatus_consumer.store import TableName
from jobstatus_local.jars import kafka_tools_classpath
from jobstatus_local.kafka import LocalKafka
from jobstatus_local.postgres import LocalPostgres
from support.console import Console, be_patient, running_console
from support.deployment import Deployment, deployment, events_of, made_events
from support.inside import run_inside
from support.parts import started
from support.rights import (
    CASES,
    INCLUDE_DESCRIBE,
    MAPPED,
    OWN,
    WITHOUT_RIGHTS,
    Case,
    all_commands,
    clients_of,
    roles_of,
)
from support.secured import BROKER, PASSWORD, USER, Acls, inside, login
from support.shared_broker import NEVER_DELETES, STARVED
from support.spools import entry, leave_behind
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

(EMIT,) = [case for case in CASES if case.name == "emit"]
WITHOUT = ("check", "emit", "status", "migrate")
"""The commands of which the default suite leaves out each right in turn."""
PATHS = ("/api/jobs", "/api/jobs/job-1/history", "/api/stuck?status=x&older_than=1s", "/api/dead-letters", "/api/audit")
"""What a user of the console asks for."""
ACTIONS = {
    "redrive": {},
    "repair": {},
    "undo": {"from": "1h ago"},
    "replay": {},
    "offsets-reset": {"to": "beginning"},
    "purge": {"status": "success", "older_than": "1s"},
}
OBSERVING = Options()
TARGET = f'''table = "{OWN}"
[key]
id = "event.job_id"
[set]
status = "event.status"
'''
WRONG_ORDER = f"DELETE FROM {MAPPED}_waiting; UPDATE {OWN} SET status = 'wrong' WHERE id = 'job-1'"
WRONG = "UPDATE jobs SET status = 'wrong' WHERE job_id = (SELECT min(job_id) FROM jobs)"
_numbers = itertools.count(5)


@pytest.fixture(scope="module")
def guarded() -> Iterator[LocalKafka]:
    """A broker with users and ACLs."""
    with started("a real Apache Kafka", LocalKafka(properties={**NEVER_DELETES, **STARVED, **BROKER})) as server:
        yield server


class Scene:
    """A deployment on that broker, and a user of broker and database whose rights a test gives and takes."""

    def __init__(self, deployed: Deployment, kafka: LocalKafka, url: str) -> None:
        self.deployed = deployed
        self.kafka = kafka
        self.acls = Acls(AdminClient({"bootstrap.servers": inside(kafka)}))
        self.environ = {
            **login(USER),
            "JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "JOBSTATUS_DATABASE_URL": url,
        }
        self.steps: dict[str, Callable[[], object]] = {
            "bad event": lambda: deployed.produce([("job-x", b"rubbish", ())]),
            "open letter": lambda: deployed.query("DELETE FROM jobs WHERE job_id = 'odd'"),
            "wrong row": lambda: deployed.query(WRONG),
            "exact table": lambda: run_inside(deployed, "verify", "--repair"),
            "bad letter": self._bad_letter,
            "wrong order": lambda: deployed.query(WRONG_ORDER),
            "spool": self._spool_one,
        }
        self.target = deployed.folder / "target.toml"
        self.spool = deployed.folder / "spool"
        self.position = ""

    @property
    def settings(self) -> Settings:
        return load_settings(self.deployed.variables)

    def fill(self) -> None:
        """Events of nine jobs, a dead letter, and a table of the user's own with a row for each of the jobs."""
        self.deployed.produce_events(made_events(40, 9))
        self.refuse_one()
        self.target.write_text(TARGET)
        self.deployed.query(f"CREATE TABLE {OWN} (id text PRIMARY KEY, status text)")
        run_inside(self.deployed, "migrate", "--table", MAPPED, "--target", str(self.target))
        self.deployed.query(f"INSERT INTO {MAPPED} SELECT * FROM jobs")
        self.deployed.query(f"INSERT INTO {OWN} SELECT job_id, status FROM jobs")
        self.spool.mkdir()

    def refuse_one(self) -> None:
        """A dead letter that can be redriven: its status was refused once."""
        odd = made_events(1, 1)[0]
        self.deployed.produce_events([odd._replace(job_id="odd", status="odd")])
        self.deployed.drain("--statuses", "pending,processing,success,error")
        # new partitions take a job elsewhere, and only the newest letter is surely kept
        raw = max(
            (item.raw for item in events_of(self.deployed.records()) if item.job_id == "odd"),
            key=lambda raw: raw.timestamp,
        )
        self.position = f"{raw.partition}:{raw.offset}"

    def finish_one(self) -> None:
        """A row that may be purged."""
        number = next(_numbers)
        (event,) = made_events(1, 1, seed=number, prefix=f"finished-{number}")
        self.deployed.produce_events([event._replace(status="success", occurred_at=event.occurred_at - 60_000_000)])
        self.deployed.drain()

    def _bad_letter(self) -> None:
        self.deployed.produce([("job-x", b"rubbish", ())])
        self.deployed.drain()

    def _spool_one(self) -> None:
        if not any(self.spool.glob("*.db")):
            leave_behind(self.spool, [entry(time.time_ns() // 1000, "job-1")], self.deployed.topic)

    def only(self, rights: list[Right], privileges: list[tuple[str, str]]) -> None:
        """Let the user do exactly this."""
        self.acls.give(USER, rights)
        revoked = [f"REVOKE ALL ON {what} FROM {USER}" for what in ("ALL TABLES IN SCHEMA public", "SCHEMA public")]
        granted = [f"GRANT {name} ON {what} TO {USER}" for name, what in privileges]
        self.deployed.query(";".join([*revoked, *granted]))

    def run(self, case: Case, *, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """The command as that user, in this process."""
        if case.prepare:
            self.steps[case.prepare]()
        number = str(next(_numbers))
        words = {"NEW": number, "table_NEW": f"table_{number}", "POSITION": self.position}
        words |= {"TARGET": str(self.target), "SPOOL": str(self.spool)}
        if "JOB" in case.arguments:
            ((words["JOB"], words["STATUS"]),) = self.deployed.query("SELECT job_id, status FROM jobs LIMIT 1")
        if case.arguments[0] == "console":
            return self.console(code)
        arguments = (words.get(word, word) for word in case.arguments)
        done = run_inside(self.deployed, *arguments, code=code, **self.environ)
        if case.name == "dlq purge" and done.returncode == 0:
            self.refuse_one()
        return done

    def console(self, code: int | None = 0, options: Options = OBSERVING) -> subprocess.CompletedProcess[str]:
        """What the console says of its deployment: exit code 1 where a page or an answer has a problem."""
        deployed = replace(self.deployed, more={**self.deployed.more, **self.environ})
        with pytest.MonkeyPatch.context() as patch, running_console(deployed, options) as console:
            be_patient(patch)
            overview = until(lambda: _asked(console), "the console has asked both servers")
            problems = overview["problems"]
            for path in PATHS:
                answer = console.get(path)
                if answer.code != 200 or answer.json.get("problems"):
                    problems.append(f"{path}: {answer.code} {answer.json.get('error')}")
            if options.allow_actions:
                problems += [trouble for name, given in ACTIONS.items() if (trouble := _refused(console, name, given))]
        assert code is None or bool(problems) == bool(code), problems
        return subprocess.CompletedProcess(["console"], int(bool(problems)), "\n".join(problems), "")


def _refused(console: Console, name: str, given: dict[str, str]) -> str:
    """Why an action cannot be planned or done; empty if it is done."""
    headers = {"Content_Type": "application/json", "Origin": console.url}
    answer = console.ask("POST", f"/api/actions/{name}/plan", json.dumps(given), headers)
    if answer.code == 200:
        wanted = {**answer.json["request"], "digest": answer.json["digest"]}
        answer = console.ask("POST", f"/api/actions/{name}/apply", json.dumps(wanted), headers)
    return "" if answer.code in (200, 202) else f"{name}: {answer.code} {answer.json.get('error')}"


def _asked(console: Console) -> Any:
    """The overview, once broker and database have been asked."""
    overview = console.get("/api/overview").json
    known = overview["state"] is not None and overview["rows"] is not None
    return overview if known or overview["problems"] else None


@pytest.fixture(scope="module")
def scene(guarded: LocalKafka, postgres: LocalPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    url = postgres.create_database("rights")
    with deployment(inside(guarded), url, tmp_path_factory.mktemp("rights")) as deployed:
        deployed.query(f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'")
        deployed.query("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        found = Scene(deployed, guarded, url.replace(url.split("//")[1].split("@")[0], f"{USER}:{PASSWORD}"))
        found.fill()
        yield found
        deployed.query(f"DROP OWNED BY {USER}; DROP ROLE {USER}")
    postgres.drop_database("rights")


def named(case: Case, right: Right | tuple[str, str], text: str) -> bool:
    """Whether a message says which right is missing, and on what."""
    if isinstance(right, Right):
        words = {*right.operations, "DESCRIBE"} if right.operations[0] in INCLUDE_DESCRIBE else right.operations
        return any(f"{word} on the {right.kind} {right.name}" in text or f"{word}, " in text for word in words)
    privilege, what = right
    if case.name == "wait":
        return "SELECT on the table and USAGE on its schema" in text
    if match := re.fullmatch(r"(\w+) \((\w+)\)", privilege):
        return f'GRANT {match[1]} ("{match[2]}") ON "public"."{what.split()[1]}"' in text
    return any(f"GRANT {privilege} ON {on}" in text for on in (_quoted(what), what.title(), what, what.split()[1]))


def _quoted(what: str) -> str:
    kind, name = what.split()
    return f'"{name}"' if kind == "TABLE" else f'{kind} "{name}"'


def without_each(scene: Scene, case: Case) -> list[str]:
    """Run the command without each of its rights; returns those that it did not need, or did not name."""
    rights, privileges = case.rights(scene.settings), case.privileges(TableName.parse("jobs"))
    wrong = []
    everything: list[Right | tuple[str, str]] = [*rights, *privileges]
    for missing in everything:
        scene.only([item for item in rights if item != missing], [item for item in privileges if item != missing])
        done = scene.run(case, code=None)
        # `run` ends as the job does, whatever becomes of its events
        if done.returncode != (case.name != "run") or not named(
            case, missing, " ".join((done.stdout + done.stderr).split())
        ):
            wrong.append(f"{case.name} without {missing}: {done.returncode} {done.stdout[-300:]} {done.stderr[-600:]}")
    return wrong


def test_every_command_is_in_the_matrix() -> None:
    """A new command fails here until it says what it needs."""
    commands = set(all_commands())
    in_matrix = {name for name in commands if any(f"{case.name} ".startswith(f"{name} ") for case in CASES)}
    assert in_matrix | set(WITHOUT_RIGHTS) == commands
    assert not in_matrix & set(WITHOUT_RIGHTS)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "_"))
def test_a_command_works_with_exactly_what_it_needs(scene: Scene, case: Case) -> None:
    scene.only(case.rights(scene.settings), case.privileges(TableName.parse("jobs")))
    scene.run(case)


@pytest.mark.parametrize("name", WITHOUT)
def test_a_missing_right_is_named(scene: Scene, name: str) -> None:
    (case,) = [case for case in CASES if case.name == name]
    assert without_each(scene, case) == []


@pytest.mark.long
@pytest.mark.parametrize("case", [case for case in CASES if case.name not in WITHOUT], ids=lambda case: case.name)
def test_each_missing_right_of_every_command_is_named(scene: Scene, case: Case) -> None:
    assert without_each(scene, case) == []


def test_the_printed_grants_and_acls_of_an_operator_are_enough(scene: Scene) -> None:
    scene.only([], [])
    scene.deployed.query(run_inside(scene.deployed, "grants", "operator", "--role", USER).stdout)
    scene.acls.give(USER, PRINCIPALS["operator"].rights(scene.settings))
    for case in CASES:
        if case.name in ("replay --name", "offsets reset", "verify --repair", "purge --forget-after", "dlq purge"):
            assert "operator" in {*roles_of(case)} & {*clients_of(case, scene.settings), "operator"}
            scene.run(case)


def test_the_printed_grants_and_acls_of_an_operator_are_enough_for_the_actions_of_a_console(scene: Scene) -> None:
    scene.only([], [])
    scene.deployed.query(run_inside(scene.deployed, "grants", "operator", "--role", USER).stdout)
    scene.acls.give(USER, PRINCIPALS["operator"].rights(scene.settings))
    scene.steps["open letter"]()
    scene.console(options=Options(allow_actions=True))


@pytest.mark.parametrize("missing", ["INSERT", "DELETE"])
def test_an_action_of_a_console_names_the_right_that_it_lacks(scene: Scene, missing: str) -> None:
    scene.only([], [])
    scene.deployed.query(run_inside(scene.deployed, "grants", "operator", "--role", USER).stdout)
    scene.deployed.query(f"REVOKE {missing} ON jobs FROM {USER}")
    scene.acls.give(USER, PRINCIPALS["operator"].rights(scene.settings))
    scene.finish_one()
    scene.steps["open letter"]()
    text = scene.console(1, Options(allow_actions=True)).stdout
    assert f'GRANT {missing} ON "jobs" TO "{USER}"' in text
    assert "permission denied" not in text


def test_kafkas_own_tool_takes_the_printed_acls(scene: Scene, tmp_path: Path) -> None:
    scene.only([], [])
    tool = tmp_path / "kafka-acls.sh"
    java, classpath = scene.kafka.java, kafka_tools_classpath()
    tool.write_text(f'#!/bin/sh\nexec "{java}" -cp "{classpath}" org.apache.kafka.tools.AclCommand "$@"\n')
    tool.chmod(0o755)
    printed = run_inside(scene.deployed, "acls", "producer", "--principal", f"User:{USER}").stdout
    path = f"{tmp_path}:{os.environ['PATH']}"
    subprocess.run(["/bin/sh", "-e", "-c", printed], check=True, timeout=240, env={**os.environ, "PATH": path})
    until(lambda: scene.run(EMIT, code=None).returncode == 0, "a producer may write")
    scene.acls.forget(USER)
