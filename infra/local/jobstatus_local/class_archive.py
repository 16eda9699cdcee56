"""An archive of the classes that a broker loads, with which Java starts a broker in half the processor time.

It is made from the list of classes that one broker has loaded, and kept beside the jars. Java itself refuses an archive
that is damaged, or that was made by another Java or from other jars; then it starts without one.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from jobstatus_local.errors import LocalServerError
from jobstatus_local.jars import cache_folder

logger = logging.getLogger("jobstatus.local")

Run = Callable[[str, Sequence[str | Path], Path], None]


class ClassArchive:
    """The archive of one Java and its class path; the file need not exist."""

    def __init__(self, java: Path, classpath: str, workdir: Path, *, wanted: bool = False) -> None:
        """With `wanted`, brokers write down what they load as long as there is no archive, and `make` makes it."""
        self.path = cache_folder() / f"classes-{_fingerprint(java, classpath)}.jsa"
        self._java = java
        self._classpath = classpath
        self._loaded = workdir / "loaded-classes"
        self._wanted = wanted

    def options(self) -> list[str]:
        """Options of a Java process: it takes its classes from the archive, or writes down those that it loads."""
        if self.path.exists():
            return [f"-XX:SharedArchiveFile={self.path}", "-XX:+VerifySharedSpaces"]
        return [f"-XX:DumpLoadedClassList={self._loaded}"] if self._wanted else []

    def make(self, run: Run) -> None:
        """Make the archive of what was written down so far, if it is wanted and absent. Blocks for some ten seconds.

        Where that fails or takes too long, there is none: brokers start without it, and a later session tries again.

        Args:
            run: runs a command to its end; takes a name for messages, the arguments and a log file.
        """
        if not self._wanted or self.path.exists():
            return
        names, made = self._loaded.with_name("archived-classes"), self._loaded.with_name(self.path.name)
        names.write_text(_names(self._loaded.read_text(encoding="utf-8")), encoding="utf-8")
        options = ["-Xshare:dump", f"-XX:SharedClassListFile={names}", f"-XX:SharedArchiveFile={made}"]
        argv: list[str | Path] = [self._java, *options, "-XX:+UseSerialGC", "-cp", self._classpath]
        try:
            run("archiving the classes", argv, self._loaded.with_name("archive.log"))
        except LocalServerError as error:
            logger.warning("brokers start slower, without an archive of their classes: %s", error)
            return
        self._keep(made)

    def _keep(self, made: Path) -> None:
        """Put the file in its place at once, although it may be on another file system. Archives of before go."""
        near = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        shutil.move(made, near)
        near.rename(self.path)
        for old in self.path.parent.glob("classes-*.jsa"):
            if old != self.path:
                old.unlink(missing_ok=True)


def _fingerprint(java: Path, classpath: str) -> str:
    """Another one for another Java or other jars."""
    described = [_described(java), *((path, *_described(Path(path))) for path in classpath.split(os.pathsep))]
    return hashlib.sha256(repr(described).encode()).hexdigest()[:16]


def _described(path: Path) -> tuple[int, ...]:
    """What changes with the file; nothing if it is not there."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_size, found.st_mtime_ns


def _names(loaded: str) -> str:
    """The classes without their numbers. The last line may be half written.

    A class with a source was loaded by a class loader of its own, and it names others by their numbers.
    """
    lines = loaded.split("\n")[:-1]
    return "".join(f"{line.split(' id: ')[0]}\n" for line in lines if " source: " not in line)
