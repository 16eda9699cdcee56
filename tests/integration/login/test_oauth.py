"""A real broker that asks for tokens (OAUTHBEARER), and a function that makes them, or fails to."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from confluent_kafka.admin import AdminClient
from jobstatus_consumer.config import load_settings
from jobstatus_consumer.kafka import PRINCIPALS
from jobstatus_local.kafka import LocalKafka
from jobstatus_local.ports import LOOPBACK
from jobstatus_producer import JobStatusProducer, SettingsError
from support.console import running_console
from support.deployment import Deployment, deployment, made_events
from support.forked import COMMAND, Command
from support.inside import run_inside
from support.parts import started
from support.secured import Acls
from support.shared_broker import NEVER_DELETES, STARVED, WITH_RIGHTS
from support.tokens import BROKER, FOLDER, HANGS
from support.waiting import until

SUBJECT = "worker"
"""Of each token, and so the name of the user."""
EMIT = ("emit", "--job-id", "job", "--status", "done", "--timeout", "5")
FUNCTION = "support.tokens:make"
SHORT = "10.25"
"""A connection ends with its token, and a broker refuses another login within a second of the last."""
LONG = "3600.0e0"
WHY = "support.tokens:make: ConnectionError: the identity provider does not answer"
STOP_SECONDS = 10.0
"""Within this time a consumer stops; the function hangs for longer."""
TROUBLE = ("problems", "stale")
"""What the console says of a broker that it cannot ask."""
TESTS = str(Path(__file__).parents[2])


@pytest.fixture(scope="module")
def asking() -> Iterator[LocalKafka]:
    """A broker that asks clients for tokens."""
    guarded = {**NEVER_DELETES, **STARVED, **BROKER, **WITH_RIGHTS, "super.users": "User:ANONYMOUS"}
    with started("a real Apache Kafka", LocalKafka(properties=guarded)) as server:
        yield server


@pytest.fixture
def with_tokens(asking: LocalKafka, database_url: str, tmp_path: Path) -> Iterator[Deployment]:
    """A deployment whose commands log in; the test itself looks at the topic through the listener that asks nothing."""
    inside = f"{LOOPBACK}:{asking.nodes[0].address.internal_port}"
    with deployment(inside, database_url, tmp_path) as found, mock.patch.dict(os.environ, {FOLDER: str(tmp_path)}):
        found.more |= {
            "JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": asking.bootstrap_servers,
            "JOBSTATUS_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "JOBSTATUS_KAFKA_SASL_MECHANISM": "OAUTHBEARER",
            "JOBSTATUS_KAFKA_OAUTH_CB": FUNCTION,
            "JOBSTATUS_KAFKA_SASL_OAUTHBEARER_CONFIG": LONG,
            FOLDER: str(tmp_path),
            "PYTHONPATH": TESTS,
        }
        yield found


def calls(deployed: Deployment) -> list[str]:
    """The process of each call of the function."""
    file = deployed.folder / "calls"
    return file.read_text().splitlines() if file.exists() else []


def producer(deployed: Deployment, **more: str) -> JobStatusProducer:
    environ = {**deployed.variables, **more}
    for name in ("GROUP_ID", "DATABASE_URL", "TABLE", "HTTP_ADDRESS", "KAFKA_SESSION_TIMEOUT_MS"):
        environ.pop(f"JOBSTATUS_{name}", None)
    return JobStatusProducer.from_env(environ)


def test_producer_consumer_and_commands_log_in_with_tokens(with_tokens: Deployment) -> None:
    assert run_inside(with_tokens, "check").stdout.startswith("all is ready")
    with producer(with_tokens) as jobs:
        jobs.update_many([(f"job-{number % 9}", "processing") for number in range(50)])
    assert with_tokens.drain()["dead_letters"] == 0
    with_tokens.assert_exact()
    assert len(with_tokens.rows()) == 9
    run_inside(with_tokens, "verify")
    assert len(calls(with_tokens)) >= 4


def test_the_subject_of_a_token_is_the_principal_of_acls(with_tokens: Deployment) -> None:
    """Exactly the printed ACLs of a producer and a consumer are enough, and each that is missing is named."""
    settings = load_settings(with_tokens.variables)
    acls = Acls(AdminClient({"bootstrap.servers": with_tokens.bootstrap}))
    rights = [right for name in ("producer", "consumer") for right in PRINCIPALS[name].rights(settings)]
    # a resource without any ACL is open to everybody on this broker, as an ACL of another user shows it is not
    acls.give("another", rights)
    acls.give(SUBJECT, rights)
    assert run_inside(with_tokens, "check").stdout.startswith("all is ready")
    run_inside(with_tokens, *EMIT)
    assert with_tokens.drain()["dead_letters"] == 0
    assert with_tokens.rows()["job"].status == "done"
    acls.give(SUBJECT, [right for right in rights if right.operations != ("WRITE",)])
    refused = run_inside(with_tokens, *EMIT, code=1)
    assert f"no right WRITE on the topic {with_tokens.topic}" in " ".join(refused.stderr.split())
    acls.give(SUBJECT, [right for right in rights if right.kind != "group"])
    text = " ".join(run_inside(with_tokens, "check", code=1).stdout.split())
    assert f"READ on the group {with_tokens.group}" in text
    for user in (SUBJECT, "another"):
        acls.forget(user)


@pytest.mark.slow
def test_tokens_are_made_again_before_they_expire(with_tokens: Deployment) -> None:
    """In a worker, a consumer, a console and a client for questions, through three lives of a token."""
    with_tokens.more["JOBSTATUS_KAFKA_SASL_OAUTHBEARER_CONFIG"] = SHORT
    consumer, lives = with_tokens.watching("consume"), 2
    both = {str(os.getpid()), str(consumer.process.pid)}
    with producer(with_tokens) as jobs, running_console(with_tokens) as console:
        jobs.update_job_status("job", "first", wait=True)
        until(lambda: console.get("/api/overview").json["lag"] == 0, "the console asks the broker")
        for number in range(lives):
            before, expired = calls(with_tokens), time.time() + float(SHORT) + 1
            until(lambda: both <= set(calls(with_tokens)[len(before) :]), "both processes have new tokens")  # noqa: B023
            until(lambda: time.time() > expired, "the first tokens have expired")  # noqa: B023
            jobs.update_job_status("job", f"life-{number}", wait=True)
            with_tokens.settled()
            until(lambda: not any(console.get("/api/overview").json[name] for name in TROUBLE), "the console is well")
    assert consumer.process.poll() is None
    assert with_tokens.rows()["job"].status == f"life-{lives - 1}"


@pytest.mark.slow
def test_a_consumer_stops_within_a_moment_while_the_function_hangs(with_tokens: Deployment) -> None:
    fails = with_tokens.folder / "fails"
    with_tokens.more["JOBSTATUS_KAFKA_SASL_OAUTHBEARER_CONFIG"] = "12.25"
    with_tokens.produce_events(made_events(50, 7))
    consumer = with_tokens.consumer()
    with_tokens.settled()
    fails.write_text(HANGS)
    before = calls(with_tokens)
    until(lambda: calls(with_tokens) > before, "the function hangs")
    assert consumer.stop(timeout=STOP_SECONDS) == 0
    fails.unlink()
    assert with_tokens.lag() == 0
    with_tokens.assert_exact()


@pytest.mark.slow
def test_a_consumer_whose_last_token_has_expired_names_the_function_and_loses_nothing(with_tokens: Deployment) -> None:
    fails = with_tokens.folder / "fails"
    consumer = with_tokens.consumer(JOBSTATUS_KAFKA_SASL_OAUTHBEARER_CONFIG="8.25")
    fails.touch()
    with_tokens.produce_events(made_events(50, 7))
    assert consumer.process.wait(60) == 1
    assert f"JOBSTATUS_KAFKA_OAUTH_CB: {WHY}" in consumer.text()
    fails.unlink()
    with_tokens.drain()
    with_tokens.assert_exact()


@pytest.mark.slow
def test_a_function_that_fails_for_a_while_loses_nothing(with_tokens: Deployment) -> None:
    fails = with_tokens.folder / "fails"
    with producer(with_tokens, JOBSTATUS_KAFKA_SASL_OAUTHBEARER_CONFIG="8.0e0") as jobs:
        jobs.update_job_status("job", "first", wait=True)
        fails.touch()
        before, expired = calls(with_tokens), time.time() + 9
        until(lambda: time.time() > expired and calls(with_tokens) > before, "the token has expired")
        jobs.update_job_status("job", "second")
        fails.unlink()
        jobs.flush(60)
    with_tokens.drain()
    assert with_tokens.rows()["job"].status == "second"


WRONG = {
    "": WHY,
    HANGS: "support.tokens:make: TimeoutError: no token within 8 s",
    "nothing": "support.tokens:make: TypeError: wanted (token, seconds since 1970 at which it expires), got NoneType",
    "empty": "support.tokens:make: ValueError: the token is empty",
    "expired": "support.tokens:make: ValueError: the token expired",
}
"""What the function does, and what is said of it."""


def test_without_a_first_token_the_function_and_its_error_are_named(with_tokens: Deployment) -> None:
    """A new client waits 10 s for its first token, so all of them wait at the same time."""
    # another argument than in the other tests, whose token would be used
    with_tokens.more["JOBSTATUS_KAFKA_SASL_OAUTHBEARER_CONFIG"] = "3601.0e0"
    checks = {}
    for what in WRONG:
        folder = with_tokens.folder / f"does {what}"
        folder.mkdir()
        (folder / "fails").write_text(what)
        environ = {**with_tokens.environ, FOLDER: str(folder)}
        checks[what] = Command[str]([COMMAND, "check"], env=environ, stderr=subprocess.PIPE, text=True)
    (with_tokens.folder / "fails").touch()
    with pytest.raises(SettingsError, match=f"JOBSTATUS_KAFKA_OAUTH_CB: {WHY}"):
        producer(with_tokens)
    for what, check in checks.items():
        _, text = check.communicate(timeout=60)
        assert f"JOBSTATUS_KAFKA_OAUTH_CB: {WRONG[what]}" in text.replace("\n", " ")
        assert check.returncode == 2


def test_a_name_that_cannot_be_imported_is_refused_at_the_start(with_tokens: Deployment) -> None:
    with_tokens.more["JOBSTATUS_KAFKA_OAUTH_CB"] = "no_such_package:make"
    done = run_inside(with_tokens, "check", code=2)
    assert "JOBSTATUS_KAFKA_OAUTH_CB (--kafka oauth.cb): no_such_package:make cannot be imported" in done.stderr
    with pytest.raises(SettingsError, match="JOBSTATUS_KAFKA_OAUTH_CB: no_such_package:make cannot be imported"):
        producer(with_tokens)
