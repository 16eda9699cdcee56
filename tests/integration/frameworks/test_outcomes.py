"""Every framework through a normal run and each end of its worker: exactly the statuses that `outcomes.json` has.

A normal run has jobs that end well, raise, are tried again, never end well, or crash; then a job runs and others wait
while the worker is ended so that a running job may end. The other ends leave a running job as it is. After each end
another worker starts, and finishes what the framework still has.
"""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil
import pytest
from integration.frameworks.conftest import MakeFramework
from integration.frameworks.kinds import BODIES, KILLED, KINDS, End, Kind
from integration.frameworks.outcomes import all_counted, check, counted
from support.framework import Framework
from support.waiting import until

COUNTS = {"good": 8, "bad": 4, "third_time": 4, "never": 2, "crash": 2}
ENDS = {"good": "success", "bad": "error", "third_time": "success", "never": "error", "crash": "error"}
WAITING = 3
NEW: Final = ("arq", "huey", "procrastinate")
"""The others have tests of their own in the default suite."""


@pytest.fixture
def kind(framework: MakeFramework, database_url: str, tmp_path: Path, name: str) -> Framework:
    found = framework(KINDS[name].module)
    (tmp_path / "bodies.py").write_text(BODIES)
    found.environ.update(DATABASE=database_url, PYTHONPATH=str(tmp_path))
    if KINDS[name].set_up:
        found.python(KINDS[name].set_up)
    return found


def sent(found: Framework, kind: Kind, key: str, names: list[str]) -> list[str]:
    return found.python(f"NAMES, KEY = {names!r}, {key!r}\n{kind.send}")


def worker(found: Framework, kind: Kind) -> tuple[str, ...]:
    more = ("--url", found.environ["REDIS_URL"], found.topic) if kind.worker[0] == "rq" else ()
    return (*kind.worker, *more)


def end(process: subprocess.Popen[bytes], how: End) -> None:
    others = psutil.Process(process.pid).children(recursive=True) if how.children_too else []
    process.send_signal(how.number)
    for child in others:
        with suppress(psutil.NoSuchProcess):
            child.send_signal(how.number)


@pytest.mark.parametrize(
    "name", [name if name in NEW else pytest.param(name, marks=pytest.mark.long) for name in KINDS]
)
def test_every_end_of_a_job_and_a_shutdown_that_lets_it_end(
    kind: Framework, name: str, request: pytest.FixtureRequest
) -> None:
    spec = KINDS[name]
    names = [job for job in spec.jobs for _ in range(COUNTS[job])]
    with kind.worker(*worker(kind, spec)) as process:
        ids = sent(kind, spec, "a", names)
        kind.until_last({job: ENDS[of] for job, of in zip(ids, names, strict=True)})
        jobs = {of: [job for job, name in zip(ids, names, strict=True) if name == of] for of in spec.jobs}
        check(name, "normal", counted(jobs, kind.last(ids)))
        # a process that kills itself at once may lose its own last report
        jobs.pop("crash", None)
        check(name, "reported", all_counted(jobs, kind.all_reported()))
        (running,) = sent(kind, spec, "b", ["nap"])
        kind.until_last({running: "processing"})
        waiting = sent(kind, spec, "c", ["good"] * WAITING)
        kind.until_last(dict.fromkeys(waiting, "pending"))
        end(process, spec.warm)
        until(lambda: spec.noticed in (kind.folder / "log").read_text(), f"the log says {spec.noticed}")
        (kind.folder / "go").touch()
        process.wait(60)
    kind.until_last({running: spec.warm.left})
    check(name, "warm", counted({"ran": [running], "waited": waiting}, kind.last([running, *waiting])))
    if request.config.getoption("--long"):
        finish(kind, name, "warm", spec.warm.then, running, waiting)


CASES = [(name, case) for name, spec in KINDS.items() for case in spec.ends]


@pytest.mark.long
@pytest.mark.parametrize(("name", "case"), CASES, ids=["-".join(case) for case in CASES])
def test_every_other_end_of_a_worker_leaves_its_jobs_as_stated(kind: Framework, name: str, case: str) -> None:
    spec = KINDS[name]
    how = spec.ends[case]
    kind.environ.update(how.environ)
    with kind.worker(*worker(kind, spec)) as process:
        done = sent(kind, spec, "a", ["good"] * 4)
        kind.until_last(dict.fromkeys(done, "success"))
        (running,) = sent(kind, spec, "b", ["nap"])
        kind.until_last({running: "processing"})
        waiting = sent(kind, spec, "c", ["good"] * WAITING)
        kind.until_last(dict.fromkeys(waiting, "pending"))
        end(process, how)
        process.wait(60)
    kind.until_last({running: how.left})
    jobs = {"done": done, "ran": [running], "waited": waiting}
    check(name, case, counted(jobs, kind.last([*done, running, *waiting])))
    finish(kind, name, case, how.then, running, waiting)


def finish(kind: Framework, name: str, case: str, then: str, running: str, waiting: list[str]) -> None:
    """Start another worker, and look again when it has done what waited and another job behind it."""
    spec = KINDS[name]
    (kind.folder / "go").touch()
    with kind.worker(*worker(kind, spec)) as process:
        # what is sent last runs last, also behind what the framework takes up again
        kind.until_last(dict.fromkeys(waiting, "success"))
        (last,) = sent(kind, spec, "d", ["good"])
        kind.until_last({last: "success"})
        kind.until_last({running: then})
        end(process, KILLED)
        process.wait(60)
    check(
        name,
        f"{case}, then another worker",
        counted({"ran": [running], "waited": waiting}, kind.last([running, *waiting])),
    )
