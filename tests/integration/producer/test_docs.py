"""Every snippet of the producer's how-to runs, and the old pipeline ends as it did before."""

from __future__ import annotations

import ast
import difflib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from integration.producer.conftest import Environ
from integration.producer.reading import read_all, statuses_by_job
from support.deployment import Deployment
from support.forked import folder_of_programs
from support.inside import run_inside

ROOT = Path(__file__).parents[3]
HOW_TO = ROOT / "docs" / "how-to" / "instrument-workers.md"
LEGACY = ROOT / "docs" / "examples" / "legacy_pipeline"
SNIPPETS = re.findall(r"^```(python|sh)\n(.*?)^```$", HOW_TO.read_text(), re.MULTILINE | re.DOTALL)
CALLS = ("update_job_status", "batch_update_job_status")
JOBS = 40
TO_REPORT = ("JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS", "JOBSTATUS_TOPIC")


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_a_snippet_runs(topic: str, environ: Environ, number: int, tmp_path: Path) -> None:
    language, text = SNIPPETS[number]
    script = tmp_path / f"snippet.{language}"
    script.write_text(text)
    command = [sys.executable, "-W", "error", str(script)] if language == "python" else ["sh", "-e", str(script)]
    path = f"{folder_of_programs()}:{Path(sys.executable).parent}:/usr/bin:/bin"
    seen = subprocess.run(
        command, env={"PATH": path, **environ(topic)}, capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    assert (seen.returncode, seen.stderr) == (0, ""), text


def test_there_are_snippets_of_both_kinds() -> None:
    assert [language for language, _ in SNIPPETS].count("python") >= 8
    assert [language for language, _ in SNIPPETS].count("sh") >= 2


def test_the_pipeline_changes_one_line() -> None:
    before, after = ((LEGACY / name).read_text().splitlines() for name in ("before.py", "after.py"))
    changed = [line for line in difflib.ndiff(before, after) if line[0] in "+-"]
    assert changed == ["- from jobs_table import (", "+ from jobstatus_producer import ("]
    calls = [
        node
        for node in ast.walk(ast.parse("\n".join(after)))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS
    ]
    assert len(calls) >= 20


def test_the_pipeline_ends_as_it_did_before(deployed: Deployment) -> None:
    """The same table, made by the application, whoever writes it."""
    create = (LEGACY / "jobs.sql").read_text()
    own: dict[str, Any] = {"JOBSTATUS_TABLE": "jobs_status", "JOBSTATUS_TARGET": str(LEGACY / "jobs.toml")}
    deployed.query("DROP TABLE jobs")
    deployed.query(create)
    _run("before.py", {"DATABASE_URL": deployed.database_url})
    expected = _jobs(deployed)
    deployed.query("DROP TABLE jobs")
    deployed.query(create)
    out = _run("after.py", {name: deployed.environ[name] for name in TO_REPORT})
    assert "'delivered'" in out
    run_inside(deployed, "migrate", **own)
    run_inside(deployed, "consume", "--until-caught-up", **own)
    assert _jobs(deployed) == expected
    assert len(expected) == JOBS
    assert {status for _, status, _ in expected} >= {"success", "failed", "gone"}
    steps = statuses_by_job(read_all(deployed.bootstrap, deployed.topic))
    middle = ["fetching", "fetched", "parsing", "parsed", "enriching", "enriched", "storing", "stored", "notifying"]
    assert steps["0"] == ["pending", *middle, "success"]


def _jobs(deployed: Deployment) -> list[tuple[int, str, str | None]]:
    return [
        (job, status, why)
        for job, status, why in deployed.query("SELECT id, status, error_message FROM jobs ORDER BY id")
    ]


def _run(name: str, environ: dict[str, str]) -> str:
    command = [sys.executable, str(LEGACY / name), str(JOBS)]
    environ = {"PATH": os.environ["PATH"], **environ}
    return subprocess.run(command, env=environ, check=True, capture_output=True, text=True, timeout=120).stdout
