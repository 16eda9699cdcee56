"""What a run of the scale bench found, as a JSON document that parts of later runs may replace."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from .rebalance import Rebalance
from .runner import Measured

SAVED: Final = Path(__file__).with_name("result.json")
"""The run from which the constants of the model and the tables of docs/scale.md are made."""


def part_of(key: str) -> str:
    """The part that a case belongs to."""
    return key.partition(": ")[0]


class Result(NamedTuple):
    """Every case that was measured, by its key."""

    machine: Mapping[str, str]
    rounds: int
    seconds: float
    commit_micros: float
    samples: Mapping[str, Measured]
    rebalance: Mapping[str, Rebalance]
    unsettled: int = 0
    """runs of a case that were left out"""

    @property
    def cores(self) -> int:
        return int(self.machine["cores"])

    def over(self, older: Self) -> Self:
        """This run, with the parts of an older one that it has not measured."""
        ours = {part_of(key) for key in self.samples}
        kept = {key: item for key, item in older.samples.items() if part_of(key) not in ours}
        return self._replace(samples={**kept, **self.samples}, rebalance=self.rebalance or older.rebalance)

    def as_dict(self) -> dict[str, Any]:
        return {
            **self._asdict(),
            "samples": {key: item.as_dict() for key, item in self.samples.items()},
            "rebalance": {key: item._asdict() for key, item in self.rebalance.items()},
        }

    def save(self, path: Path = SAVED) -> None:
        path.write_text(json.dumps(self.as_dict(), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path = SAVED) -> Self:
        found = json.loads(path.read_text("utf-8"))
        found["samples"] = {key: Measured.parse(item) for key, item in found["samples"].items()}
        found["rebalance"] = {key: Rebalance(**item) for key, item in found["rebalance"].items()}
        return cls(**found)
