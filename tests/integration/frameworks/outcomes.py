"""What the frameworks' tests have seen, in `outcomes.json`; docs/reference/frameworks.md shows it.

A test fails if it sees something else. `OUTCOMES=write make frameworks` writes the file anew.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).with_name("outcomes.json")
Seen = dict[str, dict[str, int]]
"""By kind of job: how many ended with each status."""


def counted(jobs: Mapping[str, Sequence[str]], last: Mapping[str, str]) -> Seen:
    """By kind of job, from its ids and the last status of each."""
    return {kind: _sorted(last[job] or "none" for job in ids) for kind, ids in jobs.items()}


def all_counted(jobs: Mapping[str, Sequence[str]], reported: Mapping[str, Sequence[str]]) -> Seen:
    """By kind of job, from its ids and every status that each has reported."""
    return {kind: _sorted(status for job in ids for status in reported[job]) for kind, ids in jobs.items()}


def check(framework: str, case: str, seen: Seen) -> None:
    """Fail if the file says something else of this case; with `OUTCOMES=write`, write it down."""
    known = json.loads(FILE.read_text("utf-8")) if FILE.exists() else {}
    if os.environ.get("OUTCOMES") == "write":
        known.setdefault(framework, {})[case] = seen
        FILE.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    assert known.get(framework, {}).get(case) == seen


def _sorted(statuses: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(statuses).items()))
