"""The archive of the brokers' classes is a gain of time, and nothing depends on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from jobstatus_local.class_archive import ClassArchive
from jobstatus_local.errors import LocalServerError


def loaded(option: str) -> Path:
    """The file in which a broker writes down what it loads."""
    return Path(option.removeprefix("-XX:DumpLoadedClassList="))


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ClassArchive:
    monkeypatch.setenv("JOBSTATUS_LOCAL_CACHE", str(tmp_path))
    # where the jars are, of which no broker runs without
    (tmp_path / "jars").mkdir()
    found = ClassArchive(tmp_path / "java", "a.jar", tmp_path, wanted=True)
    loaded(found.options()[0]).write_text("java/lang/Object id: 0\nkafka/Kafka id: 1 source: a.jar\n", encoding="utf-8")
    return found


def test_what_was_made_is_what_later_brokers_start_with(archive: ClassArchive) -> None:
    def run(_name: str, argv: Sequence[str | Path], _log: Path) -> None:
        made = next(str(item) for item in argv if "SharedArchiveFile" in str(item))
        Path(made.partition("=")[2]).write_text("made", encoding="utf-8")

    archive.make(run)
    assert archive.path.read_text(encoding="utf-8") == "made"
    assert str(archive.path) in archive.options()[0]


def test_on_a_machine_that_is_too_busy_brokers_start_without_one(
    archive: ClassArchive, caplog: pytest.LogCaptureFixture
) -> None:
    def run(name: str, _argv: Sequence[str | Path], _log: Path) -> None:
        raise LocalServerError(f"{name} did not end within 60 s")

    archive.make(run)
    assert not archive.path.exists()
    assert "without an archive" in caplog.text
