"""A version 2 of our own schema, with a field more: workers updated before consumers, and after, in both framings."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from shutil import copytree

import jobstatus_schemas
import pytest
from jobstatus_producer.delivery import schema_ids
from jobstatus_schemas import plain_schema_text, schema_text
from support.apicurio import Registry
from support.deployment import Deployment
from support.forked import COMMAND
from support.inside import run_inside
from support.registry_gate import Gate

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

HOST = {"name": "host", "type": ["null", "string"], "default": None}
EDITS = {
    "event.py": (
        ('SCHEMA_VERSIONS: Final = ("v1",)', 'SCHEMA_VERSIONS: Final = ("v1", "v2")'),
        ("    occurred_at: int\n", '    occurred_at: int\n    host: str | None = "node-1"\n'),
        ("worker_id, occurred_at = event", "worker_id, occurred_at, host = event"),
    ),
    "body.py": (
        ("worker_id, occurred_at = event", "worker_id, occurred_at, host = event"),
        (
            "            _long(occurred_at),\n",
            "            _long(occurred_at),\n            _NULL if host is None else _NOT_NULL + _string(host),\n",
        ),
        (
            "        occurred_at, at = _eight_byte_long(value, at)\n",
            "        occurred_at, at = _eight_byte_long(value, at)\n        host, at = _text_or_null(value, at)\n",
        ),
        ("attempt, worker_id, occurred_at)", "attempt, worker_id, occurred_at, host)"),
    ),
}
"""What docs/design.md says of a field more, but for the column: this one is of no table."""


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """A copy of the schemas' package, in which there is a version 2."""
    package = tmp_path / "newer" / "jobstatus_schemas"
    copytree(Path(jobstatus_schemas.__file__).parent, package)
    for name, edits in EDITS.items():
        text = (package / name).read_text("utf-8")
        for old, new in edits:
            assert text.count(old) == 1, (name, old)
            text = text.replace(old, new)
        (package / name).write_text(text, "utf-8")
    for name, text in (("v2", schema_text()), ("v2.plain", plain_schema_text())):
        schema = json.loads(text)
        schema["fields"].append(HOST)
        (package / f"job_status_event.{name}.avsc").write_text(json.dumps(schema), "utf-8")
    return package.parent


@pytest.mark.slow
def test_workers_and_consumers_are_updated_in_any_order(
    deployed: Deployment, registry: Registry, gate: Gate, newer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema_ids, "_KNOWN", {})
    deployed.more["JOBSTATUS_SCHEMA_REGISTRY_URL"] = gate.url

    def old(*words: str) -> str:
        return run_inside(deployed, *words).stdout

    def new(*words: str) -> str:
        environ = {**deployed.environ, "PYTHONPATH": f"{newer}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
        done = subprocess.run([COMMAND, *words], env=environ, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def emit(run: Callable[..., str], job: str, framing: str) -> None:
        deployed.more["JOBSTATUS_FORMAT"] = framing
        run("emit", "--job-id", job, "--status", "success")

    old("schema", "register", "--yes")
    assert json.loads(new("schema", "register", "--yes", "--json"))["version"] == 2
    for run, version in ((old, "old"), (new, "new")):
        for framing in ("single-object", "confluent"):
            emit(run, f"{version} {framing}", framing)
    # workers first: the old consumer reads the new version by its id, and cannot by a fingerprint alone
    assert deployed.drain()["dead_letters"] == 1
    assert set(deployed.rows()) == {"old single-object", "old confluent", "new confluent"}
    (letter,) = deployed.dead_letters()
    assert letter.key == b"new single-object"
    # the new consumer reads everything
    assert json.loads(new("dlq", "redrive", "--yes", "--json"))["applied"] == 1
    assert len(deployed.rows()) == 4
    new("verify")
    # consumers first: so does one that begins with the whole topic
    deployed.group, deployed.table = f"{deployed.group}-new", "fresh"
    new("migrate")
    summary = json.loads(new("consume", "--until-caught-up", "--json").splitlines()[-1])
    assert (summary["events"], summary["dead_letters"]) == (4, 0)
    assert len(deployed.rows()) == 4
