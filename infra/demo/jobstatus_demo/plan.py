"""What is reported, by which worker, and the names of the run. All of it is fixed before anything starts."""

from __future__ import annotations

import random
import secrets
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, NamedTuple

UPDATES_PER_JOB: Final = 3
BATCH: Final = 50
RANKS: Final = {"pending": 0, "processing": 1, "success": 2, "error": 2}
"""The order in which a job passes through its states: a row never goes to a lower one."""
FAILURES: Final = ("the input file is empty", "the remote service answered 503", "out of memory: 4.1 GiB wanted")


class Job(NamedTuple):
    """A job and how it will end."""

    job_id: str
    outcome: str
    error_message: str | None

    def updates(self) -> list[tuple[str, str, str | None]]:
        """What its worker reports, in order."""
        return [
            (self.job_id, "pending", None),
            (self.job_id, "processing", None),
            (self.job_id, self.outcome, self.error_message),
        ]


@dataclass(frozen=True)
class Plan:
    """The size of a run. Both parts have the same workers, jobs, updates and pace."""

    jobs: int = 3957
    workers: int = 16
    work_seconds: float = 8.0
    """how long the workers work if nothing delays them; their updates are spread evenly over it"""
    before_seconds: float = 8.0
    """when the first part is cut short; it is a sample then"""
    run_id: str = field(default_factory=lambda: secrets.token_hex(4))

    @property
    def updates(self) -> int:
        """How many updates all workers report."""
        return self.jobs * UPDATES_PER_JOB

    @property
    def name(self) -> str:
        """The topic and the group of this run."""
        return f"jobstatus-demo-{self.run_id}"

    @property
    def table(self) -> str:
        """The table of this run; the names of its other tables begin with it."""
        return f"jobstatus_demo_{self.run_id}"

    @cached_property
    def all_jobs(self) -> list[Job]:
        """The jobs, the same in every run."""
        chance = random.Random(3957)
        jobs = []
        for number in range(1, self.jobs + 1):
            failed = chance.random() < 0.04
            message = chance.choice(FAILURES) if failed else None
            jobs.append(Job(f"job-{number:05d}", "error" if failed else "success", message))
        return jobs

    def jobs_of(self, worker: int) -> list[Job]:
        """The jobs of one worker; workers are numbered from 0."""
        return self.all_jobs[worker :: self.workers]

    @property
    def interval(self) -> float:
        """Seconds from one update of a worker to its next."""
        most = -(-self.jobs // self.workers) * UPDATES_PER_JOB
        return self.work_seconds / most

    @property
    def patience(self) -> float:
        """Seconds after which a part counts as stuck; enough for a slow machine."""
        return 120.0 + self.updates / 200

    def reported(self) -> Counter[tuple[str, str]]:
        """How often each (job, status) is reported."""
        return Counter((job_id, status) for job in self.all_jobs for job_id, status, _ in job.updates())

    def last_status(self) -> dict[str, str]:
        """How each job must end."""
        return {job.job_id: job.outcome for job in self.all_jobs}

    def most_transactions(self, redelivered: int) -> int:
        """The bound on write transactions: full batches, 18 ended by the linger, and redelivered events."""
        full = -(-self.updates // BATCH)
        return full + 2 + 16 + -(-redelivered // BATCH)
