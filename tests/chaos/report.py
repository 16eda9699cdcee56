"""A run on one page, or as JSON."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from chaos.faults import FAULTS
from chaos.findings import PROMISES


@dataclass(frozen=True)
class Injected:
    """One fault that was injected; `went_on`: seconds until everything was written that was in the log."""

    name: str
    alone: bool
    went_on: float | None


@dataclass
class Report:
    """What a run did, saw and found."""

    seed: int
    seconds: float
    protocols: Sequence[str]
    broken: str | None = None
    injected: list[Injected] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    notes: dict[str, float] = field(default_factory=dict)
    findings: dict[str, int] = field(default_factory=dict)
    details: list[tuple[str, str]] = field(default_factory=list)

    @property
    def violations(self) -> int:
        """Zero is the only number that passes."""
        return sum(self.findings.values())

    def recoveries(self) -> dict[str, list[float]]:
        """By fault, how long each one that came alone kept a partition from being written."""
        found: dict[str, list[float]] = defaultdict(list)
        for item in self.injected:
            if item.alone and item.went_on is not None:
                found[item.name].append(item.went_on)
        return found

    def too_slow(self) -> list[str]:
        """Faults after which writes did not go on within their bound. Says something on a quiet machine only."""
        return [
            f"{name}: {max(times):.1f} s, wanted {bound:g} s"
            for name, times in self.recoveries().items()
            if (bound := FAULTS[name].bound) is not None and max(times) > bound
        ]

    def as_json(self) -> str:
        """For programs."""
        said: dict[str, Any] = {**asdict(self), "violations": self.violations, "too_slow": self.too_slow()}
        return json.dumps(said)

    def lines(self) -> Iterator[str]:
        """The page."""
        broken = f", consumers broken on purpose: {self.broken}" if self.broken else ""
        yield f"chaos: {self.seconds:.0f} s, seed {self.seed}, {' then '.join(self.protocols)}{broken}"
        yield ""
        yield f"{'fault':36}{'times':>6}{'alone':>6}{'median':>9}{'longest':>9}{'wanted':>9}   until all was written"
        yield from self._fault_lines()
        yield ""
        for name, count in self.counts.items():
            yield f"{name:58}{count:>10,}"
        for name, value in self.notes.items():
            yield f"{name:58}{value:>10.1f}"
        yield ""
        for promise in PROMISES:
            yield f"{promise:58}{self.findings.get(promise, 0):>10}"
        yield f"{'violations':58}{self.violations:>10}"
        yield from (f"  {promise}: {detail}" for promise, detail in self.details)
        yield from (f"slower than wanted: {text}" for text in self.too_slow())

    def _fault_lines(self) -> Iterator[str]:
        times = Counter(item.name for item in self.injected)
        recoveries = self.recoveries()
        for name, fault in FAULTS.items():
            if name in times:
                alone = recoveries.get(name, [])
                figures = f"{median(alone):>8.1f}s{max(alone):>8.1f}s" if alone else f"{'-':>9}{'-':>9}"
                bound = f"{fault.bound:>8.0f}s" if fault.bound is not None else f"{'-':>9}"
                yield f"{name:36}{times[name]:>6}{len(alone):>6}{figures}{bound}"
        yield f"{'all':36}{times.total():>6}"
