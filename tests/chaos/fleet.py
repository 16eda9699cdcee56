"""The consumers as processes: started, killed, frozen, stopped, and watched for ends that nobody asked for."""

from __future__ import annotations

import re
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from jobstatus_consumer.config import Flush
from support.deployment import ConsumerProcess
from support.forked import COMMAND, Command
from support.waiting import until

from chaos.findings import ENDED_BY_ITSELF, EXIT_CODE, Findings

ARGUMENTS: Final = ("--batch-linger-seconds", "0.3", "--wait-for-database", "120")
STOP_SECONDS: Final = 40.0
HEALTH: Final = re.compile(r"metrics and health on (http://\S+)")


class Fleet:
    """So many members of one group; each has a place, which is filled again after an end that was wanted."""

    def __init__(
        self,
        folder: Path,
        findings: Findings,
        command: Sequence[str] = (COMMAND,),
        arguments: Sequence[str] = (),
        windows: Sequence[int] = (1,),
        flushes: Sequence[Flush] = ("linger",),
    ) -> None:
        self._environ: dict[str, str] = {}
        self._folder = folder
        self._findings = findings
        self._command = [*command, "consume", *ARGUMENTS, *arguments]
        self._windows = windows
        self._flushes = flushes
        self._lock = threading.RLock()
        self._started = 0
        self.longest_stop = 0.0
        self.members: list[ConsumerProcess] = []

    def start(self, size: int, environ: Mapping[str, str] | None = None) -> None:
        """Fill so many places; with the same environment as before unless another is given."""
        self._environ = dict(environ or self._environ)
        self.members = [self._start(place) for place in range(size)]

    def _start(self, place: int) -> ConsumerProcess:
        self._started += 1
        window, flush = (choices[place % len(choices)] for choices in (self._windows, self._flushes))
        command = [*self._command, "--batches-in-flight", str(window), "--batch-flush", str(flush)]
        log = self._folder / f"consumer-{self._started}.log"
        with log.open("wb") as out:
            process = Command[bytes](command, env=self._environ, stdout=out, stderr=subprocess.STDOUT)
        return ConsumerProcess(process, log)

    def ready(self, place: int, timeout: float = 60.0) -> None:
        """Wait until the member there is a reader, so that its signal handlers are in place."""
        member = self.members[place]
        until(lambda: "reading" in member.text() or member.process.poll() is not None, "a consumer reads", timeout)

    def all_ready(self) -> None:
        """Wait until every member reads."""
        for place in range(len(self.members)):
            self.ready(place)

    def health_url(self, place: int) -> str:
        """Where the member there answers probes; it is waited for."""
        self.ready(place)
        (found,) = until(lambda: HEALTH.findall(self.members[place].text()), "the health port's address")
        return str(found)

    def look(self) -> None:
        """A member that ended without our doing is a finding."""
        with self._lock:
            for place, member in enumerate(self.members):
                code = member.process.poll()
                if code is not None:
                    detail = f"{member.log.name} ended with {code}: {_last_words(member)}"
                    self._findings.add(ENDED_BY_ITSELF, member.log.name, detail)
                    self.members[place] = self._start(place)

    def kill(self, place: int) -> float:
        """SIGKILL, and a new one in its place; returns when it was killed."""
        with self._lock:
            self.members[place].kill()
            killed = time.monotonic()
            self.members[place] = self._start(place)
        return killed

    def freeze(self, place: int) -> ConsumerProcess:
        """SIGSTOP."""
        self.members[place].signal(signal.SIGSTOP)
        return self.members[place]

    def restart(self, place: int) -> float:
        """SIGTERM, wait for the end, and a new one in its place; returns when it had ended."""
        self.ready(place)
        with self._lock:
            self._stop([self.members[place]])
            ended = time.monotonic()
            self.members[place] = self._start(place)
        return ended

    def stop(self) -> None:
        """SIGTERM to all."""
        with self._lock:
            self._stop(self.members)
            self.members = []

    def _stop(self, members: Sequence[ConsumerProcess]) -> None:
        began = time.monotonic()
        for member in members:
            member.signal(signal.SIGTERM)
        for member in members:
            code = self._end_of(member)
            if code != 0:
                detail = f"{member.log.name}: {code}: {_last_words(member)}"
                self._findings.add(EXIT_CODE, member.log.name, detail)
        self.longest_stop = max(self.longest_stop, time.monotonic() - began)

    def _end_of(self, member: ConsumerProcess) -> int | str:
        try:
            return member.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            member.kill()
            return f"not within {STOP_SECONDS:g} s"

    def close(self) -> None:
        """SIGKILL to whatever still runs."""
        for member in self.members:
            if member.process.poll() is None:
                member.kill()

    def said(self, words: str) -> int:
        """How often the logs of all members, dead ones included, hold `words`."""
        return sum(log.read_text("utf-8", "replace").count(words) for log in self._folder.glob("consumer-*.log"))


def _last_words(member: ConsumerProcess) -> str:
    lines = [line for line in member.text().splitlines() if "Batch updated" not in line]
    return " | ".join(lines[-6:])
