"""A job framework's worker as a child, with its module of jobs; and what its jobs reported, by the consumer's rule."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from integration.producer.reading import read_all, shown_by_a_row, statuses_by_job
from support.waiting import until

BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Framework:
    """The folder with the module `jobs.py`, and the environment of its worker and of the program that sends jobs."""

    folder: Path
    servers: str
    topic: str
    environ: dict[str, str]

    def python(self, code: str) -> list[str]:
        """Run a program that sends jobs; the lines that it prints."""
        command = [sys.executable, "-W", "error::ResourceWarning", "-c", code]
        done = subprocess.run(
            command, env=self._env(), cwd=self.folder, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    @contextmanager
    def worker(self, *command: str) -> Iterator[subprocess.Popen[bytes]]:
        """A worker, which is killed at the end if it still lives."""
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [str(BIN / command[0]), *command[1:]],
                env=self._env(),
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield process
        except BaseException:
            print((self.folder / "log").read_text()[-6000:])
            raise
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(30)

    def shown(self) -> dict[str, list[str]]:
        """By job, the statuses that its row shows, one after the other."""
        by_job: dict[str, list[object]] = {}
        for record in read_all(self.servers, self.topic):
            by_job.setdefault(record.event.job_id, []).append(record)
        return {
            job_id: [event.status for event in shown_by_a_row(records)]  # type: ignore[arg-type]
            for job_id, records in by_job.items()
        }

    def reported(self, job: str) -> Counter[str]:
        """How often a job reported each status, also what its row does not show."""
        return Counter(self.all_reported()[job])

    def all_reported(self) -> dict[str, list[str]]:
        """By job, every status that it reported, one after the other."""
        return statuses_by_job(read_all(self.servers, self.topic))

    def last(self, jobs: Sequence[str]) -> dict[str, str]:
        """By job, the status that its row ends with."""
        shown = self.shown()
        return {job: shown[job][-1] if shown.get(job) else "" for job in jobs}

    def errors(self) -> dict[str, str | None]:
        """By job, the last error message."""
        found: dict[str, str | None] = {}
        for record in read_all(self.servers, self.topic):
            found[record.event.job_id] = record.event.error_message or found.get(record.event.job_id)
        return found

    def until_last(self, wanted: dict[str, str], timeout: float = 90) -> None:
        """Wait until every job ends with its status."""
        until(lambda: self.last(list(wanted)) == wanted, f"{wanted}, not {self.last(list(wanted))}", timeout, every=0.3)

    def _env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("JOBSTATUS_")}
        return {**kept, **self.environ}
