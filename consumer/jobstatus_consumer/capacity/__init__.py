"""What a rate of events needs: a model that was fitted to measurements, and the plan that follows from it. Pure.

Another room imports what it needs from here, and not from the modules. Only `jobstatus plan` and the bench do.
"""

from jobstatus_consumer.capacity.measured import COSTS
from jobstatus_consumer.capacity.model import Cost, Costs, Cycle, Work, bend, cycle, rate, shared_rate
from jobstatus_consumer.capacity.sizing import (
    FILLED,
    LEAST_CONSUMERS,
    MOST_CORES,
    MOST_WAL,
    Change,
    Demand,
    Sizing,
    changes,
    plan,
)

__all__ = [
    "COSTS",
    "FILLED",
    "LEAST_CONSUMERS",
    "MOST_CORES",
    "MOST_WAL",
    "Change",
    "Cost",
    "Costs",
    "Cycle",
    "Demand",
    "Sizing",
    "Work",
    "bend",
    "changes",
    "cycle",
    "plan",
    "rate",
    "shared_rate",
]
