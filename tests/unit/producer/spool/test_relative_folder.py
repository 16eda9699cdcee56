"""A relative spool folder is that of the directory in which the producer was configured."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from jobstatus_producer import JobStatusProducer, ProducerSettings, SettingsError
from jobstatus_producer.spool import folder as spool_folder


def test_a_relative_folder_is_the_same_after_a_change_of_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "JOBSTATUS_SPOOL_DIR": "spool"}
    settings = ProducerSettings.from_env(environ)
    assert settings.spool_dir == tmp_path / "spool"
    jobs = JobStatusProducer(settings)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    jobs.close()
    assert os.listdir(tmp_path / "spool") == []
    with JobStatusProducer(settings):
        assert len(spool_folder.paths(tmp_path / "spool")) == 1
    assert os.listdir(elsewhere) == []


def test_a_relative_folder_in_a_directory_that_is_gone_is_said_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(SettingsError, match="JOBSTATUS_SPOOL_DIR: spool is relative to a folder that is gone"):
        ProducerSettings(kafka={"bootstrap.servers": "127.0.0.1:1"}, spool_dir=Path("spool"))
