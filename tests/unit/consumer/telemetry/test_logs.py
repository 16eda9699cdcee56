"""Log lines: JSON to the last one, times that name their zone, and no secret."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from jobstatus_consumer.cli.main import main
from jobstatus_consumer.telemetry import logs
from jobstatus_schemas.masking import remember
from support.inside import whole_process_restored

PASSWORD = 'hunter2-"is secret'
Lines = Callable[[], list[str]]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Lines]:
    """What is written to stderr; the set-up of the log is undone afterwards."""
    with whole_process_restored():
        yield lambda: capsys.readouterr().err.splitlines()


def ended(monkeypatch: pytest.MonkeyPatch, *arguments: str, **variables: str) -> int | str | None:
    monkeypatch.setattr("sys.argv", ["jobstatus", *arguments])
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as found:
        main()
    return found.value.code


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("consume", "--batch-max-events", "many"), "JOBSTATUS_BATCH_MAX_EVENTS"),
        (("consume", "--nonsense"), "--nonsense"),
        (("nonsense",), "nonsense"),
    ],
)
@pytest.mark.parametrize("given", ["flag", "variable"])
def test_the_last_line_of_a_command_that_fails_is_json(
    lines: Lines, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str, given: str
) -> None:
    if given == "flag" and arguments[0] != "nonsense":
        code = ended(monkeypatch, *arguments, "--log-format", "json")
    else:
        code = ended(monkeypatch, *arguments, JOBSTATUS_LOG_FORMAT="json")
    found = [json.loads(line) for line in lines()]
    assert (found[-1]["level"], found[-1]["exit_code"], code) == ("CRITICAL", 2, 2)
    assert words in found[-1]["message"]


def test_a_flag_for_text_wins_over_the_variable(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    ended(monkeypatch, "consume", "--batch-max-events", "many", "--log-format", "text", JOBSTATUS_LOG_FORMAT="json")
    assert lines()[-1].startswith("jobstatus: JOBSTATUS_BATCH_MAX_EVENTS")


def uncaught(where: str) -> None:
    """An exception that nothing catches, with a password in its text."""

    def fail() -> None:
        raise RuntimeError(f"cannot log in with {PASSWORD}")

    if where == "a thread":
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
        return
    try:
        fail()
    except RuntimeError:
        sys.excepthook(*sys.exc_info())


@pytest.mark.parametrize("where", ["the main thread", "a thread"])
@pytest.mark.parametrize("form", ["json", "text"])
def test_a_traceback_is_logged_without_the_secrets_of_the_process(lines: Lines, where: str, form: Any) -> None:
    logs.set_up(form, "info")
    remember([PASSWORD])
    uncaught(where)
    written = lines()
    text = "\n".join(written)
    assert "hunter2" not in text
    assert "RuntimeError: cannot log in with ***" in text
    if form == "json":
        (line,) = written
        assert "in fail" in json.loads(line)["traceback"]


def test_a_line_has_its_time_with_the_zone_and_its_fields(lines: Lines) -> None:
    remember([PASSWORD])
    logger = logging.getLogger("jobstatus.consumer")
    logs.set_up("json", "info")
    logger.info("%s, password %s", "done", PASSWORD, extra={"partition": 3, "seconds": 0.5, "reason": "late"})
    logs.set_up("text", "info")
    logger.info("done")
    first, second = lines()
    found = json.loads(first)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found["time"])
    assert (found["partition"], found["seconds"], found["reason"]) == (3, 0.5, "late")
    assert found["message"] == "done, password ***"
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d INFO    done$", second)
