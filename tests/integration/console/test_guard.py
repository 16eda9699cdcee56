"""Who may ask the console, and what a slow, silent or rude client can do to it."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from unittest import mock

import psutil
import pytest
from jobstatus_consumer.console import guard, server
from jobstatus_consumer.errors import StoreError
from jobstatus_consumer.store import JobList, open_read_only
from support.console import Answer, Console, running_console
from support.console_scene import event
from support.deployment import Deployment
from support.forked import COMMAND, Command
from support.inside import run_inside
from support.processes import wait_until_gone
from support.waiting import until

TOKEN = "a-token-of-27-characters-xx"
PAGE = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def locked(shown: Deployment) -> Iterator[Console]:
    """A console that wants a token."""
    with running_console(shown, console_token=TOKEN) as found:
        yield found


def raw(console: Console, text: bytes) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", console.server.port), timeout=30)
    line.sendall(text)
    return line


def stream(console: Console) -> socket.socket:
    return raw(console, f"GET /stream/overview HTTP/1.1\r\nHost: localhost:{console.server.port}\r\n\r\n".encode())


def read_news(line: socket.socket) -> None:
    until(lambda: b"Last true at" in line.recv(65_536), "a stream has news")


def test_another_address_without_a_log_in_is_refused_at_the_start(shown: Deployment) -> None:
    done = run_inside(shown, "console", "--console-address", "0.0.0.0:0", code=2)
    for name in ("JOBSTATUS_CONSOLE_TOKEN", "JOBSTATUS_CONSOLE_USER_HEADER"):
        assert name in done.stderr
    assert "not started" in done.stderr


@pytest.mark.parametrize("setting", ["console_token", "console_user_header"])
def test_another_address_with_a_log_in_is_served(shown: Deployment, setting: str) -> None:
    settings: dict[str, Any] = {"console_address": "0.0.0.0:0", setting: "X-User-or-a-long-token"}
    with running_console(shown, **settings) as console:
        assert console.get("/api/overview").code == 401


def test_a_short_token_is_refused(shown: Deployment) -> None:
    assert "16 characters" in run_inside(shown, "console", code=2, JOBSTATUS_CONSOLE_TOKEN="short").stderr


def test_an_address_that_is_taken_is_an_error_with_a_remedy(shown: Deployment, console: Console) -> None:
    address = f"127.0.0.1:{console.server.port}"
    assert "cannot listen on" in run_inside(shown, "console", "--console-address", address, code=2).stderr


def test_the_token_as_bearer(locked: Console) -> None:
    assert locked.get("/api/overview").code == 401
    assert locked.get("/api/overview", Authorization="Bearer wrong").code == 401
    assert locked.get("/api/overview", Authorization=f"Bearer {TOKEN}").code == 200


def test_a_probe_needs_no_log_in(locked: Console) -> None:
    assert (locked.get("/livez").code, locked.get("/livez").text) == (200, "ok\n")
    assert locked.ask("GET", "/livez", headers={"Host": "foreign.example"}).code == 403
    assert locked.get("/livez/jobs").code == 404


def test_a_person_types_the_token_once(locked: Console) -> None:
    asked = locked.get("/jobs", **PAGE)
    assert asked.code == 401
    assert "<form" in asked.text
    assert "invoice" not in asked.text
    assert locked.ask("POST", "/login", "token=wrong").code == 401
    answer = locked.ask("POST", "/login", f"token={TOKEN}")
    assert answer.code == 303
    cookie = answer.headers["set-cookie"]
    for flag in ("HttpOnly", "SameSite=strict", "Path=/"):
        assert flag in cookie
    assert TOKEN not in cookie
    value = cookie.split(";")[0]
    assert locked.get("/jobs", Cookie=value).code == 200
    assert locked.get("/jobs", Cookie=f"{value}x").code == 401


def test_the_proxys_header_names_the_user(shown: Deployment) -> None:
    with running_console(shown, console_user_header="X-Forwarded-User") as console:
        refused = console.get("/api/overview")
        assert refused.code == 401
        assert "ask through the proxy that sets the header X-Forwarded-User" in refused.text
        assert console.get("/api/overview", X_Forwarded_User="ada").code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_a_foreign_host_is_refused(console: Console, host: str) -> None:
    assert console.get("/", Host=host).code == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_a_page_of_another_origin_is_refused(console: Console, origin: str) -> None:
    assert console.ask("POST", "/login", "token=x", {"Origin": origin}).code == 403
    assert console.get("/api/overview", Origin=origin).code == 403
    assert console.get("/api/overview", Origin=console.url).code == 200


def test_a_further_host_is_allowed_by_its_name(shown: Deployment) -> None:
    with running_console(shown, console_hosts="jobs.example") as console:
        assert console.get("/", Host="jobs.example").code == 200
        assert console.get("/", Host="jobs.example", Origin="https://jobs.example").code == 200
        assert console.get("/", Host="other.example").code == 403


def test_every_answer_has_the_headers_that_protect_it(console: Console, locked: Console) -> None:
    answers: list[Answer] = [
        *(console.get(path) for path in ("/", "/no/such/page", "/api/overview", "/static/console.js")),
        console.get("/", Host="evil.example"),
        locked.get("/api/overview"),
    ]
    for answer in answers:
        assert answer.headers["content-security-policy"].startswith("default-src 'self'; ")
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize("path", ["/", "/jobs", "/stuck", "/dead-letters", "/api/overview", "/api/jobs"])
def test_nothing_is_changed_by_asking(console: Console, path: str) -> None:
    assert console.ask("POST", path, "x=1").code == 405
    assert console.ask("DELETE", path).code == 405


def test_a_body_that_is_too_large_is_refused(console: Console) -> None:
    assert console.ask("POST", "/login", "x" * 70_000).code == 413


@pytest.mark.parametrize("text", [b"\x00\xff\xfe rubbish\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"])
def test_rubbish_is_answered_and_harms_nobody(console: Console, text: bytes) -> None:
    with raw(console, text) as line:
        assert line.recv(100).startswith(b"HTTP/1.1 4")
    assert console.get("/").code == 200


def test_a_client_that_says_nothing_loses_its_connection(shown: Deployment) -> None:
    with running_console(shown) as console, mock.patch.object(server, "REQUEST_SECONDS", 0.3):
        for text in (b"", b"GET / HTTP/1.1\r\nHost:"):
            with raw(console, text) as line:
                assert line.recv(100) == b""


def test_a_client_that_is_slow_with_its_next_request_loses_its_connection(shown: Deployment) -> None:
    """The limit holds from the first piece of a request on, however many more of them come."""
    with running_console(shown) as console:
        whole = f"GET /static/icon.svg HTTP/1.1\r\nHost: localhost:{console.server.port}\r\n\r\n".encode()
        with raw(console, whole) as line:
            until(lambda: b"</svg>" in line.recv(65_536), "the first request is answered")
            with mock.patch.object(server, "REQUEST_SECONDS", 1.0):
                assert drips_until_closed(line) < len(SLOW)


SLOW = b"GET / HTTP/1.1\r\nX-Slow: " + b"x" * 600


def drips_until_closed(line: socket.socket) -> int:
    """How many bytes of a request were sent, one at a time, before the server closed the connection."""
    line.settimeout(0.05)
    for sent in range(len(SLOW)):
        try:
            line.sendall(SLOW[sent : sent + 1])
            if line.recv(100) == b"":
                return sent
        except TimeoutError:
            continue
        except OSError:
            return sent
    return len(SLOW)


@pytest.mark.parametrize("path", ["/login", "/api/actions/purge/plan"])
def test_a_body_that_does_not_end_is_refused(console: Console, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{console.server.port}\r\nOrigin: {console.url}\r\n"
    begun = (head + "Content-Length: 9\r\n\r\nto").encode()
    with mock.patch.object(guard, "STEP_SECONDS", 0.3), raw(console, begun) as line:
        assert line.recv(100).startswith(b"HTTP/1.1 408 ")
    assert console.get("/").code == 200


@pytest.mark.parametrize("number", ["9" * 5000, "-1", "1.5", "%D9%A3" * 20, "x"])
def test_a_number_that_is_none_is_not_found(console: Console, number: str) -> None:
    for path in (f"/dead-letters/{number}/0", f"/dead-letters/0/{number}"):
        assert console.get(path).code == 404


def test_a_hundred_streams_get_the_news_though_one_of_them_takes_nothing(console: Console) -> None:
    with ExitStack() as lines:
        deaf = [lines.enter_context(stream(console)) for _ in range(3)]
        streams = [lines.enter_context(stream(console)) for _ in range(100)]
        for line in streams:
            assert line.recv(20).startswith(b"HTTP/1.1 200")
        console.deployed.produce_events([event("for all streams", "success", 0)])
        total = sum(console.deployed.ends().values())
        until(lambda: sum(item["high"] for item in console.get("/api/overview").json["partitions"]) == total, "seen")
        for line in streams:
            line.settimeout(30)
            read_news(line)
        assert len(deaf) == 3
        assert console.get("/").code == 200
    console.deployed.drain()


def test_sigterm_ends_it_with_streams_open(shown: Deployment) -> None:
    """uvicorn itself waits for open streams without a limit."""
    environ = {**shown.environ, "JOBSTATUS_CONSOLE_ADDRESS": "127.0.0.1:0"}
    with Command[str]([COMMAND, "console"], env=environ, stderr=subprocess.PIPE, text=True) as process:
        errors = process.stderr
        assert errors is not None
        line = errors.readline()
        assert "the console is at http://127.0.0.1:" in line
        port = int(line.rsplit(":", 1)[1])
        streams = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(20)]
        for one in streams:
            one.sendall(b"GET /stream/overview HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert one.recv(20).startswith(b"HTTP/1.1 200")
        children = until(lambda: psutil.Process(process.pid).children(), "it asks the group's coordinator")
        started = time.monotonic()
        process.terminate()
        assert process.wait(30) == 0
        wait_until_gone(child.pid for child in children)
        took = time.monotonic() - started
        for one in streams:
            one.close()
        assert took < 8, f"{took:.1f} s"
        assert errors.read() == ""


def test_a_role_that_may_only_read_is_enough(shown: Deployment) -> None:
    """The grants are those of docs/how-to/console.md."""
    role = f"reads_{shown.group.replace('-', '_')}"
    shown.query(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")
    shown.query(f"GRANT SELECT ON jobs, jobs_progress, jobs_purged, jobs_audit TO {role}")
    try:
        url = shown.database_url
        scheme, _, rest = url.partition("://")
        with running_console(shown, database_url=f"{scheme}://{role}:secret@{rest.rpartition('@')[2]}") as console:
            until(lambda: is_known(console), "the rows are counted, and nothing is stale")
            paths = ("/api/jobs", "/api/stuck", "/api/dead-letters", "/api/audit")
            until(lambda: [console.get(path).code for path in paths] == [200] * 4, "each is answered")
            answer = console.get("/api/jobs/nobody/history")
            assert answer.code == 404, answer.text
    finally:
        shown.query(f"DROP OWNED BY {role}")
        shown.query(f"DROP ROLE {role}")


def is_known(console: Console) -> bool:
    found = console.get("/api/overview").json
    return found["rows"] is not None and found["stale"] == []


def test_its_sessions_can_write_nothing(shown: Deployment) -> None:
    with JobList(shown.database_url, shown.table, opener=open_read_only) as jobs:
        jobs.connect()
        with pytest.raises(StoreError) as refused:
            jobs.execute(b"DELETE FROM jobs", {})
        assert refused.value.sqlstate == "25006"
