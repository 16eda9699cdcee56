"""Scale: throughput against consumers, distance, partitions, batch, rows and table, and the model fitted to it.

make bench ARGS=scale                             every part; --quick for one short round
make bench ARGS="scale --part consumers"          one part
make bench ARGS="scale --long"                    also the table of 50,000,000 rows
make bench ARGS="scale --renew"                   also writes the model's constants and docs/scale.md from it
.venv/bin/python -m tests.bench.scale.renew       writes these from the saved result, without a measurement
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from rich.console import Console

from ..place import Place
from ..targets import Target
from . import machine, rebalance, tables
from .fit import WITHIN, can_be_fitted, fit, predictions
from .parts import PARTS
from .result import Result
from .runner import Runner, cases_of

REBALANCE: Final = "rebalance"
NAMES: Final = (*PARTS, REBALANCE)
SECONDS: Final = 4.0
QUICK_SECONDS: Final = 2.0
QUICK_SHARE: Final = 0.5
LINEAR: Final = 0.85
ALONE: Final = 0.3
"""Cores that other programs may take beside a run whose figures are kept."""


def measure(
    place: Place, parts: Sequence[str], rounds: int, *, quick: bool, many: bool, say: Callable[[str], Any]
) -> Result:
    """Measure the wanted parts."""
    seconds, share = (QUICK_SECONDS, QUICK_SHARE) if quick else (SECONDS, 1.0)
    with Runner(place, seconds, share, say) as runner:
        commit = machine.commit_micros(place)
        samples = runner.run(cases_of([name for name in parts if name != REBALANCE], many=many, say=say), rounds)
    groups = rebalance.measure(place, rebalance.MEMBERS, say) if REBALANCE in parts else {}
    return Result(machine.facts(place), rounds, seconds, commit, samples, groups, runner.unsettled)


def show(result: Result, console: Console) -> None:
    """Print the machine and every table."""
    console.print(tables.machine(result), soft_wrap=True)
    for name, lines in tables.all_parts(result):
        console.print(lines.rich(name))
    if result.rebalance:
        console.print(tables.rebalances(result).rich(REBALANCE))
    if can_be_fitted(result.samples):
        costs = fit(result.samples, result.commit_micros, result.cores)
        console.print(costs)
        console.print(tables.predicted(predictions(result.samples, costs, result.cores)).rich("the model"))


def targets(result: Result) -> list[Target]:
    """Eight consumers over a distance, and the model beside what it has not seen."""
    left_out = Target("scale, runs that never settled", str(result.unsettled), "0", result.unsettled == 0)
    others = max((item.sample.other_cores for item in result.samples.values()), default=0.0)
    alone = Target(
        "scale, cores that other programs took",
        f"{others:.1f}",
        f"{ALONE:g} at most, for figures to keep",
        others <= ALONE,
    )
    return [*_linear(result), left_out, alone, *_predicted(result)]


def _linear(result: Result) -> list[Target]:
    keys = [key for key in ("consumers: 5 ms, 8", "consumers: 20 ms, 8") if key in result.samples]
    return [
        Target(f"scale, {key}, of linear", f"{share:.0%}", f"{LINEAR:.0%} or more", share >= LINEAR)
        for key, share in ((key, tables.of_linear(result, key)) for key in keys)
    ]


def _predicted(result: Result) -> list[Target]:
    if not can_be_fitted(result.samples):
        return []
    costs = fit(result.samples, result.commit_micros, result.cores)
    found = predictions(result.samples, costs, result.cores)
    worst = max(found, key=lambda item: abs(item.ratio - 1))
    near = sum(abs(item.ratio - 1) <= WITHIN for item in found)
    return [
        Target(
            f"the model, held-out measurements within {WITHIN:.0%}",
            f"{near} of {len(found)}; worst {worst.ratio:.2f} ({worst.key})",
            "all",
            near == len(found),
        )
    ]
