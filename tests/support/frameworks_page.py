"""docs/reference/frameworks.md, made from what the tests of the job frameworks have seen."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).parents[1] / "integration" / "frameworks" / "outcomes.json"
NAMES: Final = {
    "celery": "Celery",
    "rq": "RQ",
    "dramatiq": "Dramatiq",
    "procrastinate": "procrastinate",
    "arq": "arq",
    "huey": "Huey",
    "apscheduler": "APScheduler",
}
JOBS: Final = {
    "good": "ends well",
    "bad": "raises",
    "third_time": "raises twice, then ends well",
    "never": "raises at each of two tries",
    "crash": "kills its own process",
    "missed": "missed its time",
}
CASES: Final = {
    "warm": "A shutdown that lets a running job end, then another worker",
    "cold": "A shutdown that cuts it off, then another worker",
    "killed": "SIGKILL of the worker and its children, then another worker",
}
LATER: Final = ", then another worker"
HOW: Final = {
    "celery": ("SIGTERM", "SIGQUIT"),
    "rq": ("SIGTERM", ""),
    "dramatiq": ("SIGTERM", ""),
    "procrastinate": ("SIGTERM", "SIGTERM with a short `shutdown_graceful_timeout`"),
    "arq": ("SIGTERM with `job_completion_wait`", "SIGTERM"),
    "huey": ("SIGINT", "SIGTERM"),
    "apscheduler": ("`shutdown(wait=True)`", "SIGTERM"),
}
Seen = Mapping[str, Mapping[str, Mapping[str, Mapping[str, int]]]]


INTRO: Final = (
    "The tests send the same jobs through every framework, on its real broker and a real Kafka, and count the status",
    "that each job's row ends with; they fail if they count anything else than this page says.",
    "`make frameworks` runs all of them, and [the how-to](../how-to/frameworks.md) says what each framework reports.",
)
OUTRO: Final = (
    "",
    "The columns about another worker show what it has made of the jobs that the framework gave it.",
    "A process that kills itself at once may lose its own last report, so its reports are not counted.",
    "A dash stands for what is not there: RQ and Dramatiq have no shutdown that cuts off this job, only some survive a",
    "job that kills its process, and what APScheduler has in memory goes with its process.",
)
Table = tuple[str, tuple[str, ...], list[tuple[str, ...]]]


def tables() -> Iterator[Table]:
    """Each table with its title and its head."""
    seen: Seen = json.loads(FILE.read_text("utf-8"))
    kinds = ("framework", *JOBS.values())
    yield "A normal run: the status that each job ends with", kinds, list(_normal(seen, "normal"))
    yield "A normal run: every status that was reported", kinds, list(_normal(seen, "reported"))
    head = ("framework", "how", "the job that ran", "those that waited", "then the first", "then the others")
    for case, title in CASES.items():
        yield title, head, list(_ended(seen, case))


def _normal(seen: Seen, what: str) -> Iterator[tuple[str, ...]]:
    for framework, name in NAMES.items():
        normal = seen[framework][what]
        yield name, *(_counts(normal.get(job, {})) for job in JOBS)


def _ended(seen: Seen, case: str) -> Iterator[tuple[str, ...]]:
    for framework, name in NAMES.items():
        found = seen[framework].get(case)
        if found is None:
            continue
        later = seen[framework].get(case + LATER, {})
        how = {"warm": HOW[framework][0], "cold": HOW[framework][1], "killed": "SIGKILL"}[case]
        now = (_counts(found[who]) for who in ("ran", "waited"))
        yield name, how, *now, *(_counts(later.get(who, {})) for who in ("ran", "waited"))


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} `{status}`" for status, count in counts.items()) or "-"
