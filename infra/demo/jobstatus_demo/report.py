"""The figures of a run, the bounds that they must keep, and the verdict."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from jobstatus_demo.figures import After, Cost
from jobstatus_demo.plan import Plan
from jobstatus_demo.recount import Recount
from jobstatus_demo.servers import Servers


class Bound(NamedTuple):
    """Something that must hold, and whether it held."""

    name: str
    text: str
    held: bool


@dataclass(frozen=True)
class Report:
    """Everything that a run found."""

    plan: Plan
    servers: Servers
    before: Cost
    after: After
    recount: Recount
    seconds: float

    @property
    def is_sample(self) -> bool:
        """Whether the first part was cut short."""
        return self.before.updates < self.plan.updates

    @property
    def scale(self) -> float:
        """The factor that scales a figure of the first part up to all updates."""
        return self.plan.updates / self.before.updates

    def scaled(self, figure: float) -> float:
        """A figure of the first part for all updates."""
        return figure * self.scale

    @property
    def bounds(self) -> list[Bound]:
        """Everything that must hold, with what was found."""
        cost, plan = self.after.cost, self.plan
        most = plan.most_transactions(self.after.redelivered)
        back = len(self.after.gone_back)
        return [
            Bound("lost", f"lost: {self.recount.lost:,} of {plan.updates:,} updates", self.recount.lost == 0),
            Bound("gone_back", f"gone back: {back:,} of {plan.jobs:,} rows", back == 0),
            Bound(
                "transactions",
                f"write transactions: {cost.transactions:,}, {most:,} at most",
                cost.transactions <= most,
            ),
            Bound(
                "connections",
                f"database connections at a time: {cost.most_connections}, 1 at most",
                cost.most_connections <= 1,
            ),
        ]

    @property
    def ok(self) -> bool:
        """Whether every bound held."""
        return all(bound.held for bound in self.bounds)

    def as_dict(self) -> dict[str, Any]:
        """For programs; times in seconds unless the name says otherwise."""
        plan, servers = self.plan, self.servers
        return {
            "ok": self.ok,
            "verdict": {bound.name: {"held": bound.held, "text": bound.text} for bound in self.bounds},
            "lost": self.recount.lost,
            "gone_back": len(self.after.gone_back),
            "redelivered": self.after.redelivered,
            "plan": {"jobs": plan.jobs, "workers": plan.workers, "updates": plan.updates},
            "names": {"run": plan.run_id, "topic": plan.name, "group": plan.name, "table": plan.table},
            "servers": {"kafka": servers.kafka, "postgres": servers.postgres},
            "before": {**asdict(self.before), "of": plan.updates, "is_sample": self.is_sample},
            "after": asdict(self.after),
            "recount": asdict(self.recount),
            "seconds": round(self.seconds, 1),
        }
