"""Every command of the two how-to pages, in the incident that its section is about."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from jobstatus_schemas import JobStatusEvent
from law.model import one_by_one
from support.deployment import Deployment, events_of, made_events
from support.forked import folder_of_programs
from support.inside import run_inside
from support.pages import ROOT, Block, blocks

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

HOW_TO = ROOT / "docs" / "how-to"


class Section(NamedTuple):
    title: str
    blocks: list[Block]


def sections(name: str) -> list[Section]:
    page = HOW_TO / name
    lines = page.read_text("utf-8").splitlines()
    heads = [(number + 1, line[3:]) for number, line in enumerate(lines) if line.startswith("## ")]
    ends = [*(line for line, _ in heads[1:]), len(lines) + 1]
    found = [block for block in blocks(page) if block.language in ("bash", "sql")]
    return [
        Section(title, [block for block in found if start < block.line < end])
        for (start, title), end in zip(heads, ends, strict=True)
    ]


def run(block: Block, deployed: Deployment) -> None:
    if block.language == "sql":
        deployed.query(block.text)
    elif all(re.fullmatch(r"jobstatus [^|>]*( > \S+)?( \|\| true)?", line) for line in block.text.splitlines()):
        for line in block.text.splitlines():
            command, _, forgiven = line.partition(" || ")
            words = shlex.split(command.partition(" > ")[0])
            run_inside(deployed, *words[1:], code=None if forgiven else 0)
    else:
        run_in_a_shell(block, deployed)


def run_in_a_shell(block: Block, deployed: Deployment) -> None:
    path = (folder_of_programs(), str(Path(sys.executable).parent), os.environ["PATH"])
    env = {**deployed.environ, "PATH": os.pathsep.join(path)}
    bash = [shutil.which("bash") or "bash", "-euo", "pipefail", "-c", block.text]
    done = subprocess.run(
        bash,
        env=env,
        cwd=deployed.folder,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
    )
    said = f"{block.page}:{block.line} exited with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, said


def events(prefix: str = "job") -> list[JobStatusEvent]:
    made = made_events(120, 12, prefix=prefix)
    # job 3 ends with an error, whatever else becomes of it
    return [*made, made[3]._replace(job_id=f"{prefix}-3", status="error", occurred_at=made[-1].occurred_at + 1)]


def drain(deployed: Deployment) -> None:
    run_inside(deployed, "consume", "--until-caught-up")


def written(deployed: Deployment) -> None:
    deployed.produce_events(events())
    drain(deployed)


def emptied(deployed: Deployment) -> None:
    written(deployed)
    deployed.query("DELETE FROM jobs WHERE hashtext(job_id) % 2 = 0")


def changed(deployed: Deployment) -> None:
    written(deployed)
    deployed.query("UPDATE jobs SET status = 'bogus' WHERE job_id = 'job-3'")


def refused(deployed: Deployment) -> None:
    deployed.query("ALTER TABLE jobs ADD CONSTRAINT known CHECK (status <> 'error')")
    # the first offsets of each partition are dead letters, so that the page's positions are there
    deployed.produce([(f"rubbish-{number}", b"rubbish", ()) for number in range(48)])
    written(deployed)


def exact(deployed: Deployment) -> None:
    deployed.assert_exact()


PURGED = ("job-1", "job-2")


def purged(deployed: Deployment) -> None:
    written(deployed)
    deployed.query("DELETE FROM jobs WHERE job_id IN ('job-1', 'job-2')")


def caught_up_without_the_purged(deployed: Deployment) -> None:
    deployed.produce_events(events("later"))
    drain(deployed)
    expected = deployed.expected()
    assert set(PURGED) <= expected.keys()
    assert deployed.rows() == {job_id: row for job_id, row in expected.items() if job_id not in PURGED}


BAD_WORKER = "build-77"


def badly_deployed(deployed: Deployment) -> None:
    """Wrong events over right ones; one row has moved on since, and one job has nothing but a wrong event."""
    written(deployed)
    now = int(time.time() * 1e6)
    bad = made_events(12, 1, seed=7)
    wrong = [
        item._replace(job_id=f"job-{number}", status="error", worker_id=BAD_WORKER, occurred_at=now)
        for number, item in enumerate(bad)
    ]
    wrong[11] = wrong[11]._replace(job_id="only-wrong")
    deployed.produce_events(wrong)
    right = made_events(1, 1, seed=8)[0]._replace(job_id="job-0", status="success", occurred_at=now + 1)
    deployed.produce_events([right])
    drain(deployed)
    assert len([row for row in deployed.rows().values() if row.worker_id == BAD_WORKER]) == 11


def nothing_wrong_is_left(deployed: Deployment) -> None:
    """Each row is what it would be without the bad events, but for its position."""
    good = [item for item in events_of(deployed.records()) if item.content.worker_id != BAD_WORKER]
    expected, rows = one_by_one({}, good), deployed.rows()
    assert rows.pop("only-wrong").worker_id == BAD_WORKER
    assert rows.keys() == expected.keys()
    for job_id, row in rows.items():
        assert replace(row, log=None, offset=None) == replace(expected[job_id], log=None, offset=None)
        assert (row.offset or 0) >= (expected[job_id].offset or 0)
    run_inside(deployed, "replay", "--yes")
    assert {**rows, "only-wrong": deployed.rows()["only-wrong"]} == deployed.rows(), "nothing bad comes back"


def nothing_more(deployed: Deployment) -> None:
    assert deployed.rows()


Step = Callable[[Deployment], None]
INCIDENTS: dict[str, tuple[Step, Step]] = {
    "The table was restored from last night's backup": (emptied, exact),
    "Somebody changed rows by hand": (changed, exact),
    "A bad deployment of the workers reported wrong statuses for an hour": (badly_deployed, nothing_wrong_is_left),
    "One job looks wrong": (written, exact),
    "The table must be rebuilt beside the live one": (purged, caught_up_without_the_purged),
    "A long replay at night": (emptied, exact),
    "Which range": (written, exact),
    "Moving the group itself": (emptied, exact),
    "See what is there": (refused, nothing_more),
    "A constraint refused what is right": (refused, exact),
    "A constraint was missing, and rows got in that are wrong": (written, nothing_more),
    "Events that do not decode": (refused, nothing_more),
    "The consumer stopped: too many dead letters": (refused, nothing_more),
    "Remove old ones": (refused, nothing_more),
}
PAGES = {name: sections(name) for name in ("replay.md", "dead-letters.md")}


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_works_in_its_incident(deployed: Deployment, page: str) -> None:
    for section in PAGES[page]:
        before, after = INCIDENTS[section.title]
        deployed.query("TRUNCATE jobs, jobs_progress")
        deployed.query("ALTER TABLE jobs DROP CONSTRAINT IF EXISTS known")
        before(deployed)
        for block in section.blocks:
            run(block, deployed)
        after(deployed)


def test_after_the_change_of_tables_a_running_consumer_catches_up_with_the_next_event(deployed: Deployment) -> None:
    consumer = deployed.consumer()
    deployed.produce_events(events())
    deployed.settled()
    section = next(item for item in PAGES["replay.md"] if item.title == "The table must be rebuilt beside the live one")
    *before, change = section.blocks
    assert change.language == "sql"
    for block in before:
        run(block, deployed)
    # into the old table: the new one does not know of it
    deployed.produce_events(events("meanwhile"))
    deployed.settled()
    run(change, deployed)
    assert run_inside(deployed, "verify", code=None).returncode == 1
    deployed.produce_events(events("next")[:1])
    deployed.settled()
    deployed.assert_exact()
    assert consumer.stop() == 0


def test_every_section_has_its_incident() -> None:
    titles = {section.title for found in PAGES.values() for section in found}
    assert titles == INCIDENTS.keys()
    assert all(section.blocks for found in PAGES.values() for section in found)


def test_a_line_holds_one_sentence() -> None:
    for name in PAGES:
        prose = re.sub(r"```.*?```", "", (HOW_TO / name).read_text("utf-8"), flags=re.S)
        for line in prose.splitlines():
            assert not re.search(r"[a-z)`]\. [A-Z]", line), f"{name}: {line}"
