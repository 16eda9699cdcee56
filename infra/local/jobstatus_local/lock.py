"""Write ``jars.lock.toml`` anew: ``python -m jobstatus_local.lock``. Run it after changing a version.

The file names each jar by its Maven coordinate, with its SHA-256 and size. It holds no address: each user fetches from
the repository that is set up on the machine, and gets the same bytes.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jobstatus_local.certificates import trust_the_system
from jobstatus_local.jars import AVRO_TOOLS, BROKER, KAFKA_TOOLS, LOCK_NAME, download, sha256_of

KAFKA_VERSION = "4.3.1"
#: These are resolved with all their dependencies.
BROKER_ROOTS = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"
#: These are taken alone: the tools run on the broker's jars, and avro-tools holds its dependencies.
SINGLE = {KAFKA_TOOLS: f"org.apache.kafka:kafka-tools:{KAFKA_VERSION}", AVRO_TOOLS: "org.apache.avro:avro-tools:1.12.0"}


def main() -> int:
    with trust_the_system():
        return _write(resolved(BROKER_ROOTS))


def resolved(roots: str) -> list[str]:
    """The coordinates of these jars and of everything that they depend on. Needs the network."""
    import jgo

    return [f"{a.groupId}:{a.artifactId}:{a.version}" for a in jgo.resolve(roots)]


def _write(broker: list[str]) -> int:
    sections = {BROKER: sorted(broker), **{name: [coordinate] for name, coordinate in SINGLE.items()}}
    first = "# Written by `python -m jobstatus_local.lock`: what the local broker is made of, by content."
    return write_lock(Path(__file__).with_name(LOCK_NAME), first, sections)


def write_lock(path: Path, first: str, sections: Mapping[str, Sequence[str]]) -> int:
    """Fetch every coordinate and write the lock file of these sections, after a first line. Returns an exit code."""
    lines = [first]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(4) as pool:
        for section, coordinates in sections.items():
            lines += ["", f"[{section}]", *pool.map(lambda name: _line(name, Path(folder)), coordinates)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    sys.stderr.write(f"{len(lines)} lines written to {path.name}\n")
    return 0


def _line(coordinate: str, folder: Path) -> str:
    jar = download(coordinate, folder)
    return f'"{coordinate}" = {{ sha256 = "{sha256_of(jar)}", size = {jar.stat().st_size} }}'


if __name__ == "__main__":
    sys.exit(main())
