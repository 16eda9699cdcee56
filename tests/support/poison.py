"""One event in a hundred is poison of five kinds: what must become of each."""

from __future__ import annotations

import random
from collections.abc import Iterator

from jobstatus_schemas import JobStatusEvent, encode
from support.deployment import Deployment, made_events

Record = tuple[str | bytes | None, bytes | None, tuple[()]]

KINDS = {
    # kind: (stage, reason or SQLSTATE) of its dead letter
    "nul": ("validate", "out_of_contract"),
    "check": ("write", "23514"),
    "too_long": ("write", "22001"),
    "undecodable": ("decode", "not_avro_single_object"),
    "other_schema": ("decode", "unknown_schema"),
}


CONSTRAINTS = (
    "ALTER TABLE jobs ADD CONSTRAINT not_forbidden CHECK (status <> 'forbidden')",
    "ALTER TABLE jobs ALTER COLUMN worker_id TYPE varchar(32)",
)
"""What two of the kinds offend."""


def constrain(deployed: Deployment) -> None:
    """Have the test's table refuse two of the kinds."""
    for statement in CONSTRAINTS:
        deployed.query(statement)


def poisoned(kind: str, event: JobStatusEvent, rng: random.Random) -> Record:
    """`event` as poison of that kind, under its own key."""
    if kind == "nul":
        return event.job_id + "\x00", encode(event._replace(job_id=event.job_id + "\x00")), ()
    if kind == "check":
        return event.job_id, encode(event._replace(status="forbidden")), ()
    if kind == "too_long":
        return event.job_id, encode(event._replace(worker_id="w" * 33)), ()
    if kind == "undecodable":
        return event.job_id, rng.randbytes(60), ()
    return event.job_id, b"\xc3\x01" + bytes(8) + encode(event)[10:], ()


def mixture(count: int, jobs: int, share: float, seed: int = 1) -> Iterator[tuple[str, Record]]:
    """`count` records with what they are ("good" or a kind), a share of them poison, a fifth of each kind."""
    rng = random.Random(seed)
    kinds = list(KINDS)
    for number, event in enumerate(made_events(count, jobs, seed=seed)):
        if share and number % round(1 / share) == 7:
            kind = kinds[number // round(1 / share) % len(kinds)]
            # a job of its own: a bad event that is superseded inside its batch needs no dead letter
            yield kind, poisoned(kind, event._replace(job_id=f"poison-{number}"), rng)
        else:
            yield "good", (event.job_id, encode(event), ())
