"""`GET /api/jobs/{job_id}`: the state at once, or when it is reached; bad requests; what waiting costs."""

from __future__ import annotations

import http.client
import json
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, urlsplit

import pytest
from jobstatus_consumer.console import ConsoleServer
from jobstatus_reader.reader import _READERS
from jobstatus_schemas import JobStatusEvent
from support.console import Console, running_console
from support.deployment import Deployment
from support.waiting import until

ODD = ["a/b", "quote'\"", "tab\tnew\nline", "<script>alert(1)</script>", "\u202eright to left", "%2F", "x" * 512, "."]
READERS = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'jobstatus-reader' AND datname = current_database()"
)


def put(console: Console, job_id: str, status: str) -> None:
    new = "INSERT INTO jobs (job_id, status) VALUES (%s, %s)"
    console.deployed.query(f"{new} ON CONFLICT (job_id) DO UPDATE SET status = excluded.status", job_id, status)


def path(job_id: str, query: str = "") -> str:
    return f"/api/jobs/{quote(job_id, safe='')}?{query}"


def waiters() -> int:
    """How many wait in the readers of this process, that of the console among them."""
    return sum(len(reader._waits._waiters) for reader in list(_READERS))


def test_the_state_is_answered_at_once(console: Console) -> None:
    put(console, "there", "processing")
    found = console.get(path("there"))
    assert (found.code, found.json["job_id"], found.json["status"]) == (200, "there", "processing")
    assert console.get(path("there", "wait=processing")).json["reached"] is True
    missing = console.get(path("missing"))
    assert (missing.code, missing.json) == (404, {"error": "there is no row of this job"})


def test_a_wait_is_answered_when_the_status_comes(console: Console) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(console.get, path("later", "wait=success,error&timeout=120"))
        until(lambda: console.deployed.query(READERS) == [(1,)], "the console looks")
        put(console, "later", "processing")
        put(console, "later", "error")
        found = waiting.result(60)
    assert (found.code, found.json["reached"], found.json["status"]) == (200, True, "error")


def test_the_time_out_has_a_field_of_its_own(console: Console) -> None:
    found = console.get(path("never", "wait=success&timeout=0.2"))
    assert (found.code, found.json) == (200, {"reached": False, "job_id": "never", "status": None})
    put(console, "never", "processing")
    found = console.get(path("never", "wait=success&wait=error&timeout=0"))
    assert (found.code, found.json["reached"], found.json["status"]) == (200, False, "processing")


def test_an_odd_job_id_is_answered(console: Console) -> None:
    for job_id in ODD:
        put(console, job_id, "success")
        found = console.get(path(job_id, "wait=success") if job_id != "." else f"/api/job?id={job_id}&wait=success")
        assert (found.code, found.json["job_id"]) == (200, job_id)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (path("a", "wait="), "wait: empty"),
        (path("a", "wait=a,,b"), "wait: empty"),
        (path("a", "wait=" + "x" * 65), "wait: 65 bytes of UTF-8; wanted 1 to 64"),
        (path("a", "wait=" + ",".join(map(str, range(5000)))), "wait: wanted 1 to 100 statuses"),
        (path("a", "wait=b&timeout=-1"), "timeout: wanted 0 to 300 seconds"),
        (path("a", "wait=b&timeout=NaN"), "timeout: wanted 0 to 300 seconds"),
        (path("a", "wait=b&timeout=inf"), "timeout: wanted 0 to 300 seconds"),
        (path("a", "wait=b&timeout=1e9"), "timeout: wanted 0 to 300 seconds"),
        (path("a", "wait=b&timeout=soon"), "timeout: wanted 0 to 300 seconds"),
        (path("a", "timeout=5"), "timeout: it goes with wait="),
        (path("x" * 513), "job_id: 513 bytes of UTF-8; wanted 1 to 512"),
        ("/api/jobs/%00", "job_id: holds a NUL"),
        ("/api/jobs/%FF", "job_id: not UTF-8"),
        ("/api/job", "job_id: empty"),
    ],
)
def test_what_cannot_be_asked_is_said(console: Console, asked: str, words: str) -> None:
    found = console.get(asked)
    assert found.code == 400
    assert words in found.json["error"]


def test_ten_thousand_statuses_and_rubbish_break_nothing(console: Console) -> None:
    assert console.get(path("a", "wait=" + ",".join(map(str, range(10_000))))).code == 400
    where = urlsplit(console.url)
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)
        connection.request(method, path("a", "wait=b"), body=b"\xff\x00{" * 1000)
        assert connection.getresponse().status == 405
        connection.close()
    assert console.get("/api/overview").code == 200


def test_who_goes_away_waits_no_longer(console: Console) -> None:
    where = urlsplit(console.url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)
    connection.request("GET", path("gone", "wait=success&timeout=300"))
    until(waiters, "the console waits")
    connection.close()
    until(lambda: waiters() == 0, "nobody waits any more")


def test_the_console_ends_with_waits_open(shown: Deployment) -> None:
    with running_console(shown) as own, ThreadPoolExecutor(20) as pool:
        waiting = [pool.submit(own.get, path(f"open-{number}", "wait=success&timeout=300")) for number in range(20)]
        until(lambda: waiters() == 20, "all of them wait")
        began = time.monotonic()
        assert isinstance(own.server, ConsoleServer)
        own.server.stop()
        assert {answer.result(30).code for answer in waiting} == {503}
        assert time.monotonic() - began < 30, "and not when their own 300 s are over"


def test_all_who_wait_cost_one_connection_and_are_answered_by_a_drain(console: Console) -> None:
    where = urlsplit(console.url)
    waiting = []
    for number in range(300):
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=120)
        connection.request("GET", path(f"crowd-{number}", "wait=success&timeout=120"))
        waiting.append(connection)
    until(lambda: waiters() == 300, "all of them wait")
    # the server may still end a session of the test before
    until(lambda: console.deployed.query(READERS) == [(1,)], "one connection looks for all of them")
    began = time.monotonic()
    assert console.get("/api/overview").code == 200
    assert time.monotonic() - began < 60, "and not when the 120 s of those who wait are over"
    at = 1_700_000_000_000_000
    console.deployed.produce_events(
        JobStatusEvent(f"00000000-0000-0000-0000-{number:012d}", f"crowd-{number}", status, None, 1, "w", at + step)
        for step, status in enumerate(("pending", "success"))
        for number in range(300)
    )
    console.deployed.drain()
    for number, connection in enumerate(waiting):
        found = json.loads(connection.getresponse().read())
        assert (found["job_id"], found["status"], found["reached"]) == (f"crowd-{number}", "success", True)
        connection.close()
    assert console.deployed.query(READERS) == [(1,)]
