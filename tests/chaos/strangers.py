"""What other programs write: records that are no dead letters among the dead letters, and headers of nearly 1 MB."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final

from jobstatus_schemas import encode
from support.deployment import Deployment, made_events
from support.waiting import until

from chaos.findings import STRANGERS_IN_THE_WAY, Findings

STRANGER: Final = "chaos.stranger"
"""A header by which the checker knows that a record is none of ours."""
LARGE: Final = ("x-large", bytes(900_000))
ODD: Final = (
    {"partition": "9" * 5000},
    {"partition": "2147483647", "offset": "9223372036854775807", "cut": "value,key,headers", "size": "-1"},
    {"timestamp": "--5", "first.seen": "9999999-99-99T99", "cut": "value"},
)
ANSWERED_WITHIN: Final = 90.0


def _strangers(deployed: Deployment) -> list[tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]]:
    ours = {"topic": deployed.topic, "partition": "0", "offset": "7", "group": deployed.group, "table": "jobs"}
    found: list[tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]] = [(b"k", b"v", [])]
    for forged in ODD:
        headers = [(f"jobstatus.dlq.{name}", text.encode()) for name, text in {**ours, **forged}.items()]
        found += [(b"job-1", b"theirs", headers), (None, None, headers)]
    return [(key, value, [(STRANGER, b"1"), *headers]) for key, value, headers in found]


def write_and_list(deployed: Deployment, findings: Findings) -> None:
    """Write them; then `dlq list` has an answer, and the group goes on."""
    replace(deployed, topic=f"{deployed.topic}.dlq").produce(_strangers(deployed))
    deployed.produce((event.job_id, encode(event), [LARGE]) for event in made_events(3, 3, prefix="large"))
    said: list[str] = []
    try:
        until(lambda: _listed(deployed, said), "dlq list", ANSWERED_WITHIN, every=0.5)
    except AssertionError:
        findings.add(STRANGERS_IN_THE_WAY, len(said), f"`dlq list` has no answer: {said[-1][-800:]}")


def _listed(deployed: Deployment, said: list[str]) -> dict[str, Any] | None:
    done = deployed.run("dlq", "list", "--json", code=None)
    said.append(f"{done.returncode} {done.stderr}")
    found: dict[str, Any] | None = json.loads(done.stdout) if done.returncode == 0 else None
    return found
