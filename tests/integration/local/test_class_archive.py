"""The archive of a broker's classes: made once, used by every later start, and no fault if it is no good."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from jobstatus_local import jars
from jobstatus_local.class_archive import ClassArchive
from jobstatus_local.kafka import LocalKafka

pytestmark = pytest.mark.kafka
JAVA = LocalKafka().java
COMMAND_OF_KAFKA = "kafka.Kafka"


@pytest.fixture
def archive(kafka: LocalKafka, tmp_path: Path) -> ClassArchive:
    """The one that the session's broker has made, or an earlier session's."""
    return ClassArchive(JAVA, jars.kafka_classpath(), tmp_path)


def loaded_from(archive: ClassArchive) -> list[str]:
    """Lines with the source of each class that Java loads of a broker that was given no configuration."""
    options = [*archive.options(), "-Xlog:class+load", "-cp", jars.kafka_classpath()]
    done = subprocess.run([JAVA, *options, COMMAND_OF_KAFKA], capture_output=True, text=True, timeout=60)
    assert "USAGE" in done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if f" {COMMAND_OF_KAFKA} source: " in line]


def test_the_brokers_classes_come_from_the_archive(archive: ClassArchive) -> None:
    (line,) = loaded_from(archive)
    assert line.endswith("shared objects file")


def test_a_damaged_archive_is_not_used(archive: ClassArchive, tmp_path: Path) -> None:
    whole = archive.path.read_bytes()
    archive.path = tmp_path / "damaged.jsa"
    middle = len(whole) // 2
    archive.path.write_bytes(whole[:middle] + bytes(1000) + whole[middle + 1000 :])
    (line,) = loaded_from(archive)
    assert "kafka_2.13" in line


def test_other_jars_have_another_archive(archive: ClassArchive, tmp_path: Path) -> None:
    jar = tmp_path / "some.jar"
    jar.write_bytes(b"1")
    before = ClassArchive(JAVA, str(jar), tmp_path).path
    jar.write_bytes(b"12")
    assert len({before, ClassArchive(JAVA, str(jar), tmp_path).path, archive.path}) == 3


def test_without_an_archive_and_unless_it_is_wanted_java_has_no_more_options(tmp_path: Path) -> None:
    nothing = ClassArchive(JAVA, str(tmp_path / "no.jar"), tmp_path)
    assert nothing.options() == []
    nothing.make(lambda *_: pytest.fail("nothing was to be made"))


def test_what_is_half_written_is_not_archived(tmp_path: Path) -> None:
    made: list[str] = []

    def run(_name: str, argv: object, _log: Path) -> None:
        made.append((tmp_path / "archived-classes").read_text())
        (tmp_path / wanted.path.name).write_bytes(b"archive")

    wanted = ClassArchive(JAVA, os.fspath(tmp_path / "no.jar"), tmp_path, wanted=True)
    wanted.path = tmp_path / "cache" / wanted.path.name
    wanted.path.parent.mkdir()
    assert wanted.options() == [f"-XX:DumpLoadedClassList={tmp_path / 'loaded-classes'}"]
    lines = ["# a note", "a/B id: 1", "@lambda-proxy a/B run", "a/C id: 2 super: 1 source: x.jar", "a/hal"]
    (tmp_path / "loaded-classes").write_text("\n".join(lines))
    older = wanted.path.with_name("classes-of-before.jsa")
    older.write_bytes(b"")
    wanted.make(run)
    assert made == ["# a note\na/B\n@lambda-proxy a/B run\n"]
    assert [path.name for path in wanted.path.parent.iterdir()] == [wanted.path.name]
    assert wanted.path.read_bytes() == b"archive"
    wanted.make(run)
    assert len(made) == 1
