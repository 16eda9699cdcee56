"""A console in a thread of the test's process, or in a process of its own, and a client for it that is no browser."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from jobstatus_consumer.config import load_settings
from jobstatus_consumer.console import ConsoleServer, Options, background, live, sources
from jobstatus_consumer.console.pages import actions, audit, dead_letters, job, jobs, state
from jobstatus_consumer.store import listing
from jobstatus_local.kafka import LocalKafka
from jobstatus_local.ports import LOOPBACK, PortLease
from jobstatus_local.postgres import LocalPostgres
from support.deployment import Deployment, deployment
from support.forked import COMMAND, Command

SECONDS = 90.0
PATIENCE = 60.0
"""Seconds; less than a client of this module waits for an answer."""


@dataclass
class Answer:
    """An HTTP answer."""

    code: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Listening(NamedTuple):
    """Where a console in a process of its own answers."""

    port: int
    process: Command[bytes]

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"


@dataclass
class Console:
    """A console over a deployment; with port 0 the system has chosen the port."""

    deployed: Deployment
    server: ConsoleServer | Listening
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.server.url

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, headers=headers)

    def ask(self, method: str, path: str, body: str | None = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Ask with these headers, named as in Python: `Sec_Fetch_Site` for `Sec-Fetch-Site`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=SECONDS)
        try:
            given = {name.replace("_", "-"): value for name, value in {**self.headers, **(headers or {})}.items()}
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()


def be_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every console of this process wait for what a page asks, until the end of the test.

    A console answers 503 or shows a part after a second or two, and other programs may take the processor for longer.
    """
    for page in (audit, dead_letters, job, jobs, state):
        monkeypatch.setattr(page, "ANSWER_SECONDS", PATIENCE)
    for letters in (background, job):
        monkeypatch.setattr(letters, "LETTER_SECONDS", PATIENCE)
    monkeypatch.setattr(actions, "APPLY_SECONDS", PATIENCE)
    monkeypatch.setattr(job, "QUICK", job.QUICK._replace(seconds=PATIENCE))
    monkeypatch.setattr(live, "STALE_AFTER", PATIENCE)
    for sessions in (listing, sources):
        monkeypatch.setattr(sessions, "LIMITS", replace(sessions.LIMITS, connect=PATIENCE, statement=PATIENCE))


@contextmanager
def shown_deployment(
    kafka: LocalKafka, postgres: LocalPostgres, folders: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """A deployment that the tests of a console share, in a database of its own."""
    name = f"console_{uuid4().hex[:12]}"
    url = postgres.create_database(name)
    with deployment(kafka.bootstrap_servers, url, folders.mktemp("console")) as found:
        yield found
    postgres.drop_database(name)


@contextmanager
def running_console(deployed: Deployment, options: Options = Options(), **settings: Any) -> Iterator[Console]:  # noqa: B008
    """A console in a thread, which has ended at the end."""
    server = ConsoleServer(load_settings(deployed.variables, {"console_address": "127.0.0.1:0", **settings}), options)
    thread = threading.Thread(target=server.run, name="jobstatus-console-server")
    thread.start()
    try:
        found = Console(deployed, server)
        found.get("/static/icon.svg", host=f"127.0.0.1:{server.port}")  # the first answer: all its threads run now
        yield found
    finally:
        server.stop()
        thread.join(20)
        assert not thread.is_alive()


@contextmanager
def console_process(deployed: Deployment, log: Path, *arguments: str, **environ: str) -> Iterator[Console]:
    """A console in a process of its own, which may not answer yet. It runs until the end, or until a test kills it."""
    with PortLease() as lease, log.open("ab") as out:
        place = {"JOBSTATUS_CONSOLE_ADDRESS": f"{LOOPBACK}:{lease.port}"}
        process = Command[bytes](
            [COMMAND, "console", *arguments],
            env={**deployed.environ, **environ, **place},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            yield Console(deployed, Listening(lease.port, process))
            assert process.poll() in (None, -signal.SIGKILL), log.read_text()
        finally:
            process.terminate()
            process.wait(30)
