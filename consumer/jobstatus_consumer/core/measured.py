"""The constants of the model in `capacity.py`: estimates, until `tests.bench.scale.renew` has written fitted ones."""

from __future__ import annotations

from typing import Final

from jobstatus_consumer.core.capacity import Cost, Costs

COSTS: Final = Costs(
    consumer=Cost(batch=700.0, event=19.0, kilobyte=8.0, own_table=1.3, in_flight=1.1),
    postgres=Cost(batch=500.0, event=11.0, kilobyte=20.0, own_table=1.5, in_flight=1.1),
    broker=Cost(batch=100.0, event=3.0, kilobyte=3.0),
    turn=Cost(batch=900.0, event=15.0, kilobyte=20.0, own_table=1.4, in_flight=1.2),
    wal=Cost(batch=1200.0, event=225.0, kilobyte=1000.0, own_table=1.5),
    commit_micros=200.0,
    bend=4.0,
    megabytes=90.0,
)
