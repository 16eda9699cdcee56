"""`jobstatus plan`."""

from __future__ import annotations

import math
from typing import Final

import click
from jobstatus_schemas.event import MAX_ERROR_MESSAGE_BYTES

from jobstatus_consumer.capacity import COSTS, Demand, Work, changes, plan
from jobstatus_consumer.cli.options import json_flag, with_settings
from jobstatus_consumer.cli.show import plan as show
from jobstatus_consumer.config import Settings

MOST_EVENTS: Final = 100_000_000
MOST_TRIP_MS: Final = 10_000


class _Number(click.FloatRange):
    """A number within limits. NaN is in every range of `click.FloatRange`."""

    def convert(self, value: float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number; `nan` is refused."""
        number = float(super().convert(value, param, ctx))
        return self.fail(f"{value!r} is not a number", param, ctx) if math.isnan(number) else number


@click.command("plan")
@click.option(
    "--events-per-second",
    type=_Number(0, MOST_EVENTS, min_open=True),
    required=True,
    metavar="N",
    help="How many events all workers report in a second, at the busiest time.",
)
@click.option(
    "--round-trip-ms",
    type=_Number(0, MOST_TRIP_MS),
    default=0.5,
    show_default=True,
    metavar="M",
    help="The time of a question to the database and its answer, in milliseconds.",
)
@click.option(
    "--commit-ms",
    type=_Number(0, MOST_TRIP_MS),
    default=None,
    metavar="M",
    help="How long PostgreSQL waits for its disk, or for a synchronous standby, at a commit. [default: as measured in"
    " docs/scale.md]",
)
@click.option(
    "--row-bytes",
    type=click.IntRange(0, MAX_ERROR_MESSAGE_BYTES),
    default=100,
    show_default=True,
    metavar="BYTES",
    help="The mean length of the texts in an event: identifiers, status and error message.",
)
@click.option("--own-table", is_flag=True, help="The consumer also writes a table of your own (JOBSTATUS_TARGET).")
@with_settings("batch_max_events", "batch_linger_seconds", "batches_in_flight")
@json_flag
def command(
    settings: Settings,
    events_per_second: float,
    round_trip_ms: float,
    commit_ms: float | None,
    row_bytes: int,
    own_table: bool,
    as_json: bool,
) -> None:
    """Say how many consumers, partitions and connections a rate of events needs, and how much of PostgreSQL.

    No server is asked: the answer is computed from a model that was fitted to measurements (docs/scale.md). It names
    what limits a consumer, and the options that would need fewer of them.
    """
    work = Work(settings.batch_max_events, settings.batches_in_flight, round_trip_ms, row_bytes, own_table)
    demand = Demand(events_per_second, work, settings.batch_linger_seconds)
    costs = COSTS if commit_ms is None else COSTS._replace(commit_micros=1000 * commit_ms)
    show.show(demand, plan(demand, costs), changes(demand, costs), as_json=as_json)
