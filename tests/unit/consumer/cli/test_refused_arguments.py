"""Words that no command can use are refused at the edge, before anything is asked: exit code 2, and what is wanted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from jobstatus_consumer.cli.main import main
from jobstatus_consumer.config import load_settings
from jobstatus_consumer.errors import SettingsError
from jobstatus_consumer.store.names import TableName
from support.inside import whole_process_restored

NO_TEXT = os.fsdecode(b"\xff")
"""As Python gives a program the byte"""
PASSWORD = "hunter2-is-secret"

Said = Callable[..., str]

COMMANDS = (
    ("replay", "--job-id"),
    ("replay", "--into"),
    ("replay", "--name"),
    ("replay", "--from"),
    ("replay", "--to"),
    ("replay", "--status"),
    ("verify", "--job-id"),
    ("verify", "--from"),
    ("verify", "--to"),
    ("history",),
    ("dlq", "show"),
    ("dlq", "list", "--offsets"),
    ("dlq", "list", "--job-id"),
    ("dlq", "redrive", "--reason"),
    ("dlq", "redrive", "--offsets"),
    ("dlq", "redrive", "--job-id"),
    ("dlq", "purge", "--before"),
    ("offsets", "reset", "--to"),
    ("offsets", "show", "--bootstrap-servers"),
)


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Said]:
    """What a command says that must exit with 2; nobody answers, so nothing can have been asked."""
    for name in [name for name in os.environ if name.startswith("JOBSTATUS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("JOBSTATUS_DATABASE_URL", f"postgresql://user:{PASSWORD}@127.0.0.1:1/database")

    def run(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["jobstatus", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert (ended.value.code, out) == (2, ""), err
        return err

    with whole_process_restored():
        yield run


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_bytes_that_are_no_text_are_refused_by_the_options_name(refused: Said, command: tuple[str, ...]) -> None:
    said = refused(*command, NO_TEXT)
    assert "holds bytes that are not UTF-8; wanted UTF-8" in said
    assert (command[-1] if command[-1].startswith("--") else "the argument") in said


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_an_empty_word_is_not_taken_for_an_option_that_was_left_away(refused: Said, command: tuple[str, ...]) -> None:
    said = refused(*command, "")
    assert ": empty; wanted " in said
    assert (command[-1] if command[-1].startswith("--") else "the argument") in said


@pytest.mark.parametrize("command", [item for item in COMMANDS if item[-1] in ("--job-id", "history")], ids=" ".join)
def test_a_job_that_cannot_be_is_refused(refused: Said, command: tuple[str, ...]) -> None:
    assert "513 bytes of UTF-8; wanted 1 to 512" in refused(*command, "x" * 513)
    assert "514 bytes of UTF-8; wanted 1 to 512" in refused(*command, "ü" * 257)
    assert "NUL" in refused(*command, "a\0b")


def test_a_place_that_means_nothing_is_wrong_usage_whoever_is_in_the_group(refused: Said) -> None:
    for where, words in (("bogus", "allowed: beginning, now, P:N"), ("2h", "is no time"), ("0:1,0:2", "named twice")):
        said = refused("offsets", "reset", "--to", where, "--yes")
        assert "--to" in said
        assert words in said


def test_settings_that_are_no_text_are_refused_by_name_and_without_their_value() -> None:
    for name in ("STATUSES", "DATABASE_URL", "GROUP_ID", "KAFKA_CLIENT_ID"):
        with pytest.raises(SettingsError, match=rf"JOBSTATUS_{name} .*not UTF-8") as raised:
            load_settings({f"JOBSTATUS_{name}": PASSWORD + NO_TEXT})
        assert PASSWORD not in str(raised.value)
    with pytest.raises(SettingsError, match=r"JOBSTATUS_GROUP_ID \(--group-id\): wanted 1 to 249 characters"):
        load_settings({}, {"group_id": ""})


def test_a_tables_name_is_text() -> None:
    for text in (NO_TEXT, f'"{NO_TEXT}"', f"{NO_TEXT}.jobs"):
        with pytest.raises(SettingsError, match="is neither name nor"):
            TableName.parse(text)
