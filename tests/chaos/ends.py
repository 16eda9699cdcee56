"""Workers that end in the ways of frameworks, and what each of them has to answer for."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from support.forked import COMMAND, Command

from chaos.findings import ENDED_SILENTLY, WORKER_FAILED, Findings

SCRIPT: Final = Path(__file__).with_name("ending.py")
EVENTS: Final = "20"
END_SECONDS: Final = 90.0
NAMED: Final = re.compile(r"is lost with it: (\d+) event")

BY_OS_EXIT: Final = ("os._exit", "os._exit, durable", "os._exit, unprotected")
BY_SIGTERM: Final = ("SIGTERM", "SIGTERM, uvicorn")


class Ended(NamedTuple):
    """One worker that has ended: what it accepted, and what its log says of that."""

    name: str
    journal: str
    log: str

    def ids(self, mark: str) -> set[str]:
        """The events with this mark; a last line that was cut short is none."""
        return {line[1:] for line in self.journal.split("\n") if line[:1] == mark and len(line) == 37}

    def missing(self, event_ids: Collection[str]) -> set[str]:
        """Promised events that are not in the topic."""
        return {event_id for event_id in self.ids("+") if event_id not in event_ids}

    @property
    def named(self) -> int:
        """How many events the error lines of its end call lost."""
        return sum(map(int, NAMED.findall(self.log)))


def check_ends(ended: Sequence[Ended], event_ids: Collection[str], findings: Findings) -> None:
    """Each promised event is in the topic, or counted in the worker's error line."""
    for worker in ended:
        missing = worker.missing(event_ids)
        if len(missing) > worker.named:
            detail = f"{worker.name}: {len(missing)} events are missing, {worker.named} are named: {worker.log[-500:]}"
            findings.add(ENDED_SILENTLY, worker.name, detail)


class Endings:
    """Starts such workers, and keeps what they leave."""

    def __init__(self, folder: Path, environ: Mapping[str, str], findings: Findings) -> None:
        self._folder = folder
        self._findings = findings
        self._environ = environ
        # a folder for all durable ones: the next of them takes the spools of the dead over
        self._spool = {"JOBSTATUS_SPOOL_DIR": str(folder / "spool-endings")}
        self._started = 0
        self.ended: list[Ended] = []

    def play(self, ways: Sequence[str]) -> None:
        """Start a worker for each way, and wait for the end of all."""
        started = [(way, *self._start(way)) for way in ways]
        for way, name, process in started:
            self._wait(way, name, process)

    def _start(self, way: str) -> tuple[str, subprocess.Popen[bytes]]:
        self._started += 1
        name = f"ending-{self._started}"
        self._file(name, "journal").touch()
        more = {**self._spool, "JOBSTATUS_DURABLE": "true"} if "durable" in way else {}
        with self._file(name, "log").open("wb") as out:
            command = [sys.executable, str(SCRIPT), str(self._file(name, "journal")), way, EVENTS]
            environ = {**self._environ, **more, "JOBSTATUS_WORKER_ID": name}
            return name, Command[bytes](command, env=environ, stdout=out, stderr=subprocess.STDOUT)

    def _file(self, name: str, kind: str) -> Path:
        return self._folder / f"{name}.{kind}"

    def _wait(self, way: str, name: str, process: subprocess.Popen[bytes]) -> None:
        code: int | str
        try:
            code = process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            code = f"not within {END_SECONDS:g} s"
        journal, log = (self._file(name, kind).read_text("utf-8", "replace") for kind in ("journal", "log"))
        self.ended.append(Ended(f"{name} ({way})", journal, log))
        if code != (-signal.SIGTERM if way in BY_SIGTERM else 0):
            self._findings.add(WORKER_FAILED, name, f"{name} ({way}) ended with {code}: {log[-1500:]}")

    def drain(self) -> None:
        """Send what the durable ones have left on the disk."""
        if not Path(self._spool["JOBSTATUS_SPOOL_DIR"]).exists():
            return
        environ = {**self._environ, **self._spool}
        done = Command[str]([COMMAND, "spool", "drain"], env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said, _ = done.communicate(timeout=END_SECONDS)
        if done.returncode != 0:
            self._findings.add(WORKER_FAILED, "drain", f"`spool drain` ended with {done.returncode}: {said}")
