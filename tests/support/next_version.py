"""The next version of jobstatus, made from a copy of this checkout: the event and the table have one more field.

It is made by the list "A field of the event" in `docs/design.md`, so it also shows that the list is complete.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = (
    "schemas/jobstatus_schemas",
    "producer/jobstatus_producer",
    "consumer/jobstatus_consumer",
    "consumer/jobstatus_reader",
)
VERSION: Final = "0.2.0"
FIELD: Final = {"name": "queue", "type": ["null", "string"], "default": None}

EDITS: Final = {
    "jobstatus_schemas/event.py": (
        ('SCHEMA_VERSIONS: Final = ("v1",)', 'SCHEMA_VERSIONS: Final = ("v1", "v2")'),
        (
            "    worker_id: str | None\n    occurred_at: int\n",
            "    worker_id: str | None\n    occurred_at: int\n    queue: str | None = None\n",
        ),
        ("worker_id, occurred_at = event\n", "worker_id, occurred_at, queue = event\n"),
        (
            "    check_event_id(event_id)\n",
            "    check_event_id(event_id)\n    check_worker_id(queue)\n",
        ),
    ),
    "jobstatus_schemas/body.py": (
        ("worker_id, occurred_at = event\n", "worker_id, occurred_at, queue = event\n"),
        (
            "            _long(occurred_at),\n",
            "            _long(occurred_at),\n            _NULL if queue is None else _NOT_NULL + _string(queue),\n",
        ),
        (
            "        occurred_at, at = _eight_byte_long(value, at)\n",
            "        occurred_at, at = _eight_byte_long(value, at)\n        queue, at = _text_or_null(value, at)\n",
        ),
        ("attempt, worker_id, occurred_at)\n", "attempt, worker_id, occurred_at, queue)\n"),
        (
            "            at = behind(value, at)\n    return False\n",
            "            at = behind(value, at)\n    return _any_long(value, _behind_long(value, at))[0] < 0\n",
        ),
    ),
    "jobstatus_producer/record.py": (
        ("    event_id: str\n\n    def stamped", "    event_id: str\n    queue: str | None = None\n\n    def stamped"),
        ("traceparent, event_id = self\n", "traceparent, event_id, queue = self\n"),
        ("worker_id, seq)\n", "worker_id, seq, queue)\n"),
    ),
    "jobstatus_producer/client.py": (
        (
            "    def update_job_status(\n        self,\n        job_id: JobId,\n        status: str,\n"
            "        error_message: object = None,\n        *,\n",
            "    def update_job_status(\n        self,\n        job_id: JobId,\n        status: str,\n"
            "        error_message: object = None,\n        *,\n        queue: str | None = None,\n",
        ),
        (
            "        update = self._checked(job_id, status, error_message, attempt, worker_id)\n        outbox",
            "        update = self._checked(job_id, status, error_message, attempt, worker_id)\n"
            "        update = update._replace(queue=check_worker_id(queue))\n        outbox",
        ),
    ),
    "jobstatus_consumer/store/layout.py": (
        (
            '    )\n)\n"""The managed table: one row a job."""',
            '        Column("queue", TEXT, Role.CONTENT, added=True),\n'
            '    )\n)\n"""The managed table: one row a job."""',
        ),
        (
            "    event_id: str | None = None\n\n    @classmethod",
            "    event_id: str | None = None\n    queue: str | None = None\n\n    @classmethod",
        ),
    ),
    "jobstatus_consumer/store/mark.py": (("LAYOUT: Final = 1\n", "LAYOUT: Final = 2\n"),),
}
"""By file: each text, which occurs once, and what it becomes."""


def make_next(folder: Path) -> dict[str, str]:
    """Make the next version in `folder`; the variables with which a process of ours is of that version."""
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__", "*.so", "static")
        shutil.copytree(ROOT / package, folder / Path(package).name, ignore=ignored)
    for name, edits in EDITS.items():
        path = folder / name
        text = path.read_text("utf-8")
        for old, new in edits:
            assert text.count(old) == 1, f"{name}: {text.count(old)} times {old!r}"
            text = text.replace(old, new)
        path.write_text(text, "utf-8")
    for old_name, fields in _schemas(folder / "jobstatus_schemas"):
        path = folder / "jobstatus_schemas" / old_name.replace("v1", "v2")
        path.write_text(json.dumps(fields), "utf-8")
    metadata = folder / f"jobstatus-{VERSION}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: jobstatus\nVersion: {VERSION}\n", "utf-8")
    # the second one has `support/forked.py` start an interpreter: its forks have imported this version already
    return {"PYTHONPATH": str(folder), "PYTHONNODEBUGRANGES": "1"}


def _schemas(folder: Path) -> Iterator[tuple[str, dict[str, object]]]:
    """The newest schema with one more field, by the name of the file that it comes from."""
    for name in ("job_status_event.v1.avsc", "job_status_event.v1.plain.avsc"):
        schema = json.loads((folder / name).read_text("utf-8"))
        yield name, {**schema, "fields": [*schema["fields"], FIELD]}
