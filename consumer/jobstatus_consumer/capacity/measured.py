"""The constants of the model in `capacity.py`, made by `python -m tests.bench.scale.renew`.

They are the fit of `tests/bench/scale/fit.py` to `tests/bench/scale/result.json`, a run of `make bench ARGS=scale`.

Measured on: date 2026-11-29, cores 2, memory 24 GB, processor Intel(R) Xeon(R) Processor, Kafka 4.3.1, PostgreSQL
18.6, librdkafka 2.16.0, Python 3.11.7; medians of 3 rounds of 4 s; a commit 0.09 ms; other programs took up to 0.1
cores.

`batch` and `event` of `consumer`, `postgres`, `broker` and `wal` are from the part `batch`: what the processes used for
batches of 1, 10, 200 and 500 events. `turn` is what a batch took there at 5 ms beside the round trip and the commit.
`commit_micros` is the difference of an update with a durable commit and one without. `kilobyte` is from the
part `rows`, `own_table` from the part `own`, `in_flight` from two batches in flight at 5 ms beside one, and `bend` from
the part `batch` and eight consumers at 0 ms.
"""

from __future__ import annotations

from typing import Final

from jobstatus_consumer.capacity.model import Cost, Costs

COSTS: Final = Costs(
    consumer=Cost(batch=696.21, event=15.672, kilobyte=6.274, own_table=1.06, in_flight=1.0),
    postgres=Cost(batch=395.81, event=10.801, kilobyte=35.917, own_table=1.919, in_flight=1.0),
    broker=Cost(batch=28.71, event=0.665, kilobyte=2.748, own_table=1.634, in_flight=1.0),
    turn=Cost(batch=1144.34, event=18.482, kilobyte=40.63, own_table=1.677, in_flight=1.5),
    wal=Cost(batch=279.45, event=249.639, kilobyte=1094.212, own_table=1.979, in_flight=1.0),
    commit_micros=91.9,
    bend=8.0,
    megabytes=92.2,
)
