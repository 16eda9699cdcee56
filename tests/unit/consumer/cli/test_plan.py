"""What `jobstatus plan` prints, in process: it asks no server."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import pytest
from jobstatus_consumer.cli.main import main
from jobstatus_consumer.telemetry import logs

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The exit code, stdout and stderr; neither a broker nor a database is set."""
    for name in [name for name in os.environ if name.startswith("JOBSTATUS_")]:
        monkeypatch.delenv(name)
    # the log of this process stays as it is
    monkeypatch.setattr(logs, "set_up", lambda *_settings: None)

    def run_plan(*arguments: str, **environ: str) -> tuple[int, str, str]:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("sys.argv", ["jobstatus", "plan", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run_plan


def found(run: Run, *arguments: str, **environ: str) -> dict[str, object]:
    code, out, err = run(*arguments, "--json", **environ)
    assert (code, err) == (0, "")
    document: dict[str, object] = json.loads(out)
    return document


@pytest.mark.parametrize("events", ["3", "1000", "100000", "1000000", "100000000"])
@pytest.mark.parametrize("more", [(), ("--round-trip-ms", "20", "--own-table"), ("--batch-max-events", "500")])
def test_a_plan_says_every_number_within_80_columns(run: Run, events: str, more: tuple[str, ...]) -> None:
    code, out, err = run("--events-per-second", events, *more)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80, out
    first_words = [line.split()[0] for line in lines if line.strip() and not line.startswith("    ")]
    for name in ("consumers", "partitions", "connections", "CPU", "memory", "PostgreSQL", "commits/s", "WAL", "Limit"):
        assert name in first_words, name
    # a line that was too long would go on at the margin
    assert sum(word == "Limit" for word in first_words) == 1


def test_the_document_has_the_same_numbers(run: Run) -> None:
    document = found(run, "--events-per-second", "100000", "--round-trip-ms", "5")
    _, out, _ = run("--events-per-second", "100000", "--round-trip-ms", "5")
    assert f"consumers{document['consumers']:>19}" in out
    assert document["connections"] == int(str(document["consumers"])) + 1
    assert document["asked"] == {
        "events_per_second": 100_000.0,
        "round_trip_ms": 5.0,
        "batch_max_events": 50,
        "batches_in_flight": 1,
        "batch_linger_seconds": 2.0,
        "row_bytes": 100,
        "own_table": False,
    }


def test_a_distance_is_named_as_the_limit_with_what_to_change(run: Run) -> None:
    _, out, _ = run("--events-per-second", "100000", "--round-trip-ms", "200")
    assert "Limit of a consumer: the round trip." in out
    for option in ("--batches-in-flight 4", "--batch-max-events 500", "--round-trip-ms 0.5"):
        assert f"With {option}: " in out


def test_the_settings_of_the_deployment_count(run: Run) -> None:
    arguments = ("--events-per-second", "100000", "--round-trip-ms", "200")
    usual = found(run, *arguments)
    wide = found(run, *arguments, JOBSTATUS_BATCHES_IN_FLIGHT="4", JOBSTATUS_BATCH_MAX_EVENTS="500")
    assert int(str(wide["consumers"])) < int(str(usual["consumers"])) / 4


def test_a_slow_commit_needs_more_consumers(run: Run) -> None:
    arguments = ("--events-per-second", "100000")
    usual = found(run, *arguments, "--commit-ms", "0.1")
    slow = found(run, *arguments, "--commit-ms", "100")
    assert int(str(slow["consumers"])) > int(str(usual["consumers"]))


def test_a_rate_beyond_one_server_says_so(run: Run) -> None:
    _, out, _ = run("--events-per-second", "10000000")
    assert "One PostgreSQL is planned for" in out
    assert "servers; see docs/scale.md" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Missing option '--events-per-second'"),
        (("--events-per-second", "0"), "'--events-per-second': 0.0 is not in the range"),
        (("--events-per-second", "nan"), "'--events-per-second': 'nan' is not a number"),
        (("--events-per-second", "many"), "'--events-per-second': 'many' is not a valid float"),
        (("--events-per-second", "5", "--round-trip-ms", "-1"), "'--round-trip-ms': -1.0 is not in the range"),
        (("--events-per-second", "5", "--round-trip-ms", "inf"), "'--round-trip-ms': inf is not in the range"),
        (("--events-per-second", "5", "--row-bytes", "20000"), "'--row-bytes': 20000 is not in the range"),
        (("--events-per-second", "5", "--batch-max-events", "0"), "wanted a whole number from 1 to 10000"),
        (("--events-per-second", "5", "--batches-in-flight", "9"), "wanted a whole number from 1 to 4"),
    ],
)
def test_bad_input_is_refused_with_what_is_allowed(run: Run, arguments: tuple[str, ...], said: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert said in err
