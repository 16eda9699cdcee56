"""Wrong settings and surroundings that are not ready: what the user of the command line is told.

Every test looks at the same things: the exit code (1 failed, 2 wrong usage), that the message names what is wrong and
what is allowed or the remedy, that there is no traceback, and that no password is in it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import psycopg
import pytest
from jobstatus_consumer.cli.main import main
from jobstatus_local.kafka import LocalKafka
from support.fixture_types import MakeTopic
from support.forked import COMMAND, Command
from support.inside import whole_process_restored

PASSWORD = "hunter2-is-secret"
NOBODY = "127.0.0.1:1"
FAILED, WRONG_USAGE = 1, 2


class Seen(NamedTuple):
    """What a command left its user with."""

    code: int
    out: str
    err: str
    seconds: float


Jobstatus = Callable[..., Seen]


def environment(**variables: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "COLUMNS": "200", **variables}


def start(*arguments: str, **variables: str) -> subprocess.Popen[str]:
    return Command[str](
        [COMMAND, *arguments],
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str], started: float) -> Seen:
    try:
        out, err = process.communicate(timeout=90)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    said = out + err
    assert "Traceback" not in said, said
    assert PASSWORD not in said, said
    return Seen(process.returncode, out, err, time.monotonic() - started)


def jobstatus(*arguments: str, **variables: str) -> Seen:
    return end(start(*arguments, **variables), time.monotonic())


@pytest.fixture
def usage(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Jobstatus]:
    """The command in this process, for what is refused before anything is asked: many, and each in milliseconds."""

    def run(*arguments: str, **variables: str) -> Seen:
        for name in [name for name in os.environ if name.startswith("JOBSTATUS_")]:
            monkeypatch.delenv(name)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("sys.argv", ["jobstatus", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert PASSWORD not in out + err
        return Seen(ended.value.code if isinstance(ended.value.code, int) else 1, out, err, 0.0)

    with whole_process_restored():
        yield run


@pytest.fixture
def ready(kafka: LocalKafka, database_url: str) -> Jobstatus:
    """The command with a broker and a database that answer, and topics and tables of its own made on request."""

    def run(*arguments: str, **variables: str) -> Seen:
        base = {"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers, "JOBSTATUS_DATABASE_URL": database_url}
        return jobstatus(*arguments, **{**base, **variables})

    return run


def with_password(url: str, password: str) -> str:
    return re.sub(r"//([^:@]+)(:[^@]*)?@", rf"//\1:{password}@", url)


def with_database(url: str, name: str) -> str:
    return re.sub(r"/[^/]*$", f"/{name}", url)


# -- settings ----------------------------------------------------------------------------------------------------------


def test_an_unknown_setting_is_named_with_the_closest_that_exists(usage: Jobstatus) -> None:
    seen = usage("consume", JOBSTATUS_BATCH_MAX_EVENT="3")
    assert seen.code == WRONG_USAGE
    assert "JOBSTATUS_BATCH_MAX_EVENT is no setting of jobstatus; did you mean JOBSTATUS_BATCH_MAX_EVENTS?" in seen.err
    assert "JOBSTATUS_TABLE" in seen.err


def test_every_wrong_setting_is_named_at_once(usage: Jobstatus) -> None:
    seen = usage("consume", JOBSTATUS_BATCH_MAX_EVENTS="many", JOBSTATUS_BATCH_LINGER_SECONDS="-1")
    assert seen.code == WRONG_USAGE
    assert "JOBSTATUS_BATCH_MAX_EVENTS (--batch-max-events): " in seen.err
    assert "JOBSTATUS_BATCH_LINGER_SECONDS (--batch-linger-seconds): " in seen.err


@pytest.mark.parametrize("value", ["many", "0", "-1", "10001", "1.5", "nan"])
def test_a_bad_number_is_refused_by_the_name_of_its_setting(usage: Jobstatus, value: str) -> None:
    seen = usage("consume", "--batch-max-events", value)
    assert seen.code == WRONG_USAGE
    assert seen.err.startswith("jobstatus: JOBSTATUS_BATCH_MAX_EVENTS (--batch-max-events): ")


def test_a_bad_number_is_told_what_is_allowed(usage: Jobstatus) -> None:
    seen = usage("consume", JOBSTATUS_BATCH_MAX_EVENTS="many")
    assert "1" in seen.err
    assert "10000" in seen.err.replace(",", "").replace("_", "")


@pytest.mark.parametrize("value", ["loud", "INFO "])
def test_a_word_that_is_none_of_the_choices_is_told_the_choices(usage: Jobstatus, value: str) -> None:
    seen = usage("check", JOBSTATUS_LOG_LEVEL=value)
    assert seen.code == WRONG_USAGE
    assert "JOBSTATUS_LOG_LEVEL (--log-level): " in seen.err
    assert all(word in seen.err for word in ("debug", "info", "warning", "error"))


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("JOBSTATUS_TOPIC", "two words"),
        ("JOBSTATUS_TABLE", "jobs; drop table jobs"),
        ("JOBSTATUS_TABLE", "x" * 60),
        ("JOBSTATUS_HTTP_ADDRESS", "nowhere"),
    ],
)
def test_a_name_that_cannot_be_is_refused_before_anything_is_asked(usage: Jobstatus, variable: str, value: str) -> None:
    seen = usage("check", **{variable: value})
    assert seen.code == WRONG_USAGE
    assert f"{variable} (--" in seen.err


@pytest.mark.parametrize("variable", ["JOBSTATUS_TOPIC", "JOBSTATUS_TABLE", "JOBSTATUS_HTTP_ADDRESS"])
def test_a_name_that_cannot_be_is_explained_in_words(usage: Jobstatus, variable: str) -> None:
    seen = usage("check", **{variable: "two words"})
    assert variable in seen.err
    assert "pattern" not in seen.err


def test_an_empty_list_of_statuses_is_refused(usage: Jobstatus) -> None:
    seen = usage("consume", JOBSTATUS_STATUSES=" , ")
    assert "JOBSTATUS_STATUSES" in seen.err


def test_every_flag_can_be_given_as_the_variable_that_its_help_names(usage: Jobstatus) -> None:
    text = usage("consume", "--help").out
    variables = {name for name in re.findall(r"JOBSTATUS_\w+", text) if not name.startswith("JOBSTATUS_KAFKA_")}
    seen = usage("consume", **dict.fromkeys(variables, ""))
    assert "is no setting" not in seen.err


def test_dead_letters_may_not_go_to_the_topic_itself(usage: Jobstatus) -> None:
    seen = usage("consume", JOBSTATUS_TOPIC="news", JOBSTATUS_DLQ_TOPIC="news")
    assert seen.code == WRONG_USAGE
    assert "dead letters would be read as events" in seen.err


def test_dead_letters_that_may_not_go_to_the_topic_itself_name_the_setting(usage: Jobstatus) -> None:
    assert "JOBSTATUS_DLQ_TOPIC" in usage("consume", JOBSTATUS_DLQ_TOPIC="job-status").err


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("enable.auto.commit", "true", "allowed: false"),
        ("auto.offset.reset", "latest", "allowed: error"),
        ("group.id", "mine", "JOBSTATUS_GROUP_ID"),
    ],
)
def test_a_kafka_property_that_would_break_a_promise_is_refused(
    usage: Jobstatus, name: str, value: str, allowed: str
) -> None:
    variable = "JOBSTATUS_KAFKA_" + name.upper().replace(".", "_")
    seen = usage("consume", JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS=NOBODY, **{variable: value})
    assert seen.code == WRONG_USAGE
    assert name in seen.err
    assert allowed in seen.err


def test_a_kafka_property_that_is_refused_is_named_as_it_was_set(usage: Jobstatus) -> None:
    seen = usage("consume", JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS=NOBODY, JOBSTATUS_KAFKA_ENABLE_AUTO_COMMIT="true")
    assert "JOBSTATUS_KAFKA_ENABLE_AUTO_COMMIT" in seen.err


@pytest.mark.parametrize(("name", "value"), [("sesion.timeout.ms", "10000"), ("session.timeout.ms", "soon")])
def test_a_kafka_property_that_the_library_refuses_is_named(usage: Jobstatus, name: str, value: str) -> None:
    seen = usage("check", "--bootstrap-servers", NOBODY, "--kafka", f"{name}={value}")
    assert seen.code == WRONG_USAGE
    assert name in seen.err


def test_a_kafka_property_without_a_value_is_shown_how_to_give_one(usage: Jobstatus) -> None:
    seen = usage("check", "--kafka", "session.timeout.ms")
    assert seen.code == WRONG_USAGE
    assert "wanted NAME=VALUE" in seen.err


@pytest.mark.parametrize(
    ("missing", "shown"),
    [
        ("JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS", "host:port"),
        ("JOBSTATUS_DATABASE_URL", "postgresql://user:password@host:port/database"),
    ],
)
def test_a_setting_that_must_be_given_is_shown_how_to_give_it(usage: Jobstatus, missing: str, shown: str) -> None:
    both = {"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": NOBODY, "JOBSTATUS_DATABASE_URL": "postgresql://u@127.0.0.1:1/d"}
    seen = usage("consume", **{name: value for name, value in both.items() if name != missing})
    assert seen.code == WRONG_USAGE
    assert f"{missing} is not set" in seen.err
    assert shown in seen.err


def test_a_database_url_that_is_none_shows_no_password(usage: Jobstatus) -> None:
    seen = usage("migrate", JOBSTATUS_DATABASE_URL=f"mysql://somebody:{PASSWORD}@host/database")
    assert seen.code == WRONG_USAGE
    assert "JOBSTATUS_DATABASE_URL is malformed" in seen.err


def test_a_database_url_that_is_none_names_its_setting(usage: Jobstatus) -> None:
    seen = usage("migrate", JOBSTATUS_DATABASE_URL="mysql://somebody@host/database")
    assert "JOBSTATUS_DATABASE_URL" in seen.err


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["consume", "--nonsense"], ["topics", "create", "--partitions", "0"]]
)
def test_wrong_usage_of_the_command_line_points_at_the_help(usage: Jobstatus, arguments: list[str]) -> None:
    seen = usage(*arguments)
    assert seen.code == WRONG_USAGE
    assert "--help" in seen.err


# -- the topics --------------------------------------------------------------------------------------------------------


def test_missing_topics_and_tables_are_all_listed_with_their_remedies(ready: Jobstatus) -> None:
    seen = ready("consume", JOBSTATUS_TOPIC="not-made")
    assert seen.code == FAILED
    for what in ("the topic not-made is", "the topic not-made.dlq is", "no table jobs;", "no table jobs_progress;"):
        assert what in seen.err
    assert "jobstatus topics create" in seen.err
    assert "jobstatus migrate" in seen.err


def test_a_compacted_topic_is_refused_with_the_reason(ready: Jobstatus, make_topic: MakeTopic) -> None:
    compacted = make_topic(cleanup_policy="compact")
    for arguments in (["consume"], ["topics", "create"], ["status"]):
        seen = ready(*arguments, JOBSTATUS_TOPIC=compacted)
        assert seen.code == FAILED
        assert f"the topic {compacted} is compacted (cleanup.policy=compact)" in seen.err
        assert "set cleanup.policy=delete" in seen.err


def test_more_copies_than_brokers_are_refused_in_the_brokers_words(ready: Jobstatus) -> None:
    seen = ready("topics", "create", "--topic", "three-copies", "--replication", "3")
    assert seen.code == FAILED
    assert "the topic three-copies could not be made" in seen.err
    assert "only 1 broker" in seen.err


# -- the tables --------------------------------------------------------------------------------------------------------


def test_a_table_of_that_name_that_is_not_ours_is_left_alone(ready: Jobstatus, topic: str, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE theirs (id integer PRIMARY KEY, name text NOT NULL)")
        migrated = ready("migrate", "--table", "theirs")
        consumed = ready("consume", "--table", "theirs", "--topic", topic, "--dlq-topic", f"{topic}-2")
        columns = connection.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'theirs' ORDER BY 1"
        ).fetchall()
    assert migrated.code == consumed.code == FAILED
    assert "there is a table theirs that is not ours: column job_id is missing" in migrated.err
    assert "Nothing was changed. Choose another name with JOBSTATUS_TABLE" in migrated.err
    assert "the table theirs is not ours" in consumed.err
    assert columns == [("id",), ("name",)]


def test_the_status_of_a_table_that_is_not_there_names_the_remedy(ready: Jobstatus, topic: str) -> None:
    seen = ready("status", "--topic", topic)
    assert seen.code == FAILED
    assert "jobstatus migrate" in seen.err


def test_the_status_of_a_table_that_is_not_there_fails(ready: Jobstatus, topic: str) -> None:
    seen = ready("status", "--topic", topic)
    assert seen.code == FAILED
    assert '"jobs" does not exist' in seen.err or "no table jobs" in seen.err


def test_rights_that_are_missing_are_listed_with_the_statement_that_gives_them(
    ready: Jobstatus, database_url: str
) -> None:
    assert ready("migrate").code == 0
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'")
        connection.execute("GRANT SELECT ON jobs TO reader")
        seen = ready("check", JOBSTATUS_DATABASE_URL=re.sub(r"//[^@]*@", f"//reader:{PASSWORD}@", database_url))
        connection.execute("DROP OWNED BY reader; DROP ROLE reader")
    assert seen.code == FAILED
    assert "the role reader has no INSERT, UPDATE on jobs\n" in seen.out
    assert 'GRANT INSERT, UPDATE ON "jobs" TO "reader"' in seen.out


# -- the database ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["consume", "migrate", "check"])
def test_a_wrong_password_is_told_in_the_servers_words(ready: Jobstatus, database_url: str, command: str) -> None:
    url = with_password(database_url, PASSWORD)
    seen = ready(command, JOBSTATUS_DATABASE_URL=url, JOBSTATUS_WAIT_FOR_DATABASE="0.5")
    assert seen.code == FAILED
    assert "password authentication failed" in seen.out + seen.err
    assert seen.seconds < 28, "and not the 30 s that are the default"


@pytest.mark.parametrize("command", ["consume", "migrate", "check"])
def test_a_database_that_does_not_exist_is_named(ready: Jobstatus, database_url: str, command: str) -> None:
    url = with_database(database_url, "nowhere")
    seen = ready(command, JOBSTATUS_DATABASE_URL=url, JOBSTATUS_WAIT_FOR_DATABASE="0.5")
    assert seen.code == FAILED
    assert 'database "nowhere" does not exist' in seen.out + seen.err
    assert seen.seconds < 28, "and not the 30 s that are the default"


@pytest.mark.parametrize("command", ["consume", "check"])
def test_a_database_that_is_not_reached_names_its_setting(ready: Jobstatus, command: str) -> None:
    url = f"postgresql://somebody:{PASSWORD}@127.0.0.1:1/database"
    seen = ready(command, JOBSTATUS_DATABASE_URL=url, JOBSTATUS_WAIT_FOR_DATABASE="0.5")
    assert seen.code == FAILED
    assert "JOBSTATUS_DATABASE_URL" in seen.out + seen.err
    assert seen.seconds < 28, "and not the 30 s that are the default"


@pytest.mark.parametrize("command", ["migrate", "status"])
def test_other_commands_name_the_setting_too(ready: Jobstatus, topic: str, command: str) -> None:
    url = "postgresql://somebody@127.0.0.1:1/database"
    seen = ready(command, JOBSTATUS_DATABASE_URL=url, JOBSTATUS_TOPIC=topic)
    assert "JOBSTATUS_DATABASE_URL" in seen.out + seen.err


# -- the broker --------------------------------------------------------------------------------------------------------

WITHOUT_A_BROKER: tuple[tuple[str, ...], ...] = (("check",), ("consume",), ("status",), ("topics", "create"))


@pytest.fixture(scope="module")
def without_a_broker(request: pytest.FixtureRequest) -> Iterator[dict[tuple[str, ...], Callable[[], Seen]]]:
    """Commands that ask a broker that is not there: each takes its time, so they take it side by side."""
    server = request.getfixturevalue("postgres")
    started = time.monotonic()
    processes = {
        arguments: start(*arguments, JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS=NOBODY, JOBSTATUS_DATABASE_URL=server.url)
        for arguments in WITHOUT_A_BROKER
    }
    ended: dict[tuple[str, ...], Seen] = {}

    def of(arguments: tuple[str, ...]) -> Callable[[], Seen]:
        def wait() -> Seen:
            if arguments not in ended:
                ended[arguments] = end(processes[arguments], started)
            return ended[arguments]

        return wait

    yield {arguments: of(arguments) for arguments in WITHOUT_A_BROKER}
    for process in processes.values():
        if process.poll() is None:
            process.kill()
        process.communicate()


Waits = dict[tuple[str, ...], Callable[[], Seen]]


@pytest.mark.parametrize("arguments", WITHOUT_A_BROKER, ids=" ".join)
def test_a_broker_that_does_not_answer_ends_every_command_in_bounded_time(
    without_a_broker: Waits, arguments: tuple[str, ...]
) -> None:
    seen = without_a_broker[arguments]()  # the bound is in `end`
    assert seen.code == FAILED
    assert re.search("broker|controller|_TRANSPORT|_TIMED_OUT", seen.out + seen.err)


def test_a_check_without_a_broker_still_checks_the_database(without_a_broker: Waits) -> None:
    seen = without_a_broker["check",]()
    assert "the broker does not answer" in seen.out
    assert "JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS" in seen.out
    assert "there is no table jobs\n" in seen.out


@pytest.mark.parametrize("arguments", [("consume",), ("status",), ("topics", "create")], ids=" ".join)
def test_a_broker_that_does_not_answer_is_named_with_its_setting(
    without_a_broker: Waits, arguments: tuple[str, ...]
) -> None:
    seen = without_a_broker[arguments]()
    assert NOBODY in seen.err
    assert "JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS" in seen.err
    # one for each client that could not connect, one of each kind of question, and the end: not one for every try
    assert len(seen.err.splitlines()) <= 6, seen.err


# -- JSON --------------------------------------------------------------------------------------------------------------


def test_every_json_output_is_one_document(ready: Jobstatus) -> None:
    names = {"JOBSTATUS_TOPIC": "json-out", "JOBSTATUS_GROUP_ID": "json-out", "JOBSTATUS_HTTP_ADDRESS": "off"}

    def document(*arguments: str, code: int = 0) -> dict[str, object]:
        seen = ready(*arguments, "--json", **names)
        assert seen.code == code, seen.err
        found: dict[str, object] = json.loads(seen.out)
        return found

    problems = document("check", code=FAILED)["problems"]
    assert isinstance(problems, list)
    assert all(set(item) == {"what", "remedy", "may_pass"} for item in problems)
    assert document("topics", "create", "--partitions", "2") == {"created": {"json-out": True, "json-out.dlq": True}}
    assert set(document("migrate", "--dry-run")) == {"dry_run", "statements"}
    assert set(document("migrate")) == {"dry_run", "statements"}
    assert document("check") == {"problems": []}
    summary = document("consume", "--until-caught-up")
    wanted = {"events", "applied", "stale", "dead_letters", "batches", "seconds", "events_per_second"}
    assert wanted <= set(summary)
    status = document("status")
    assert {"group", "state", "members", "lag", "partitions", "rows"} <= set(status)


def test_log_lines_never_mix_with_the_json_document(ready: Jobstatus) -> None:
    ready("topics", "create", JOBSTATUS_TOPIC="json-logs")
    ready("migrate")
    variables = {"JOBSTATUS_TOPIC": "json-logs", "JOBSTATUS_LOG_FORMAT": "json", "JOBSTATUS_HTTP_ADDRESS": "off"}
    seen = ready("consume", "--until-caught-up", "--json", **variables)
    assert seen.code == 0, seen.err
    assert json.loads(seen.out)["events"] == 0
    assert all({"time", "level", "message"} <= set(json.loads(line)) for line in seen.err.splitlines())
