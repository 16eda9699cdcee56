"""The constants of the model in `model.py`, made by `python -m tests.bench.scale.renew`.

They are the fit of `tests/bench/scale/fit.py` to `tests/bench/scale/result.json`, a run of `make bench ARGS=scale`.

Measured on: date 2026-11-30, cores 2, memory 24 GB, processor Intel(R) Xeon(R) Processor, Kafka 4.3.1, PostgreSQL
18.6, librdkafka 2.16.0, Python 3.11.7; medians of 3 rounds of 4 s; a commit 0.11 ms; other programs took up to 0.1
cores.

`batch` and `event` of `consumer`, `postgres`, `broker` and `wal` are from the part `batch`: what the processes used for
batches of 1, 10, 200 and 500 events at 0 ms. `idle` is what they used besides with batches of 1 and 10 at 5 ms, and
with eight consumers at 20 ms. `turn` is what a batch took at 5 ms beside the round trip and the commit, less what the
same batches took less at 0 ms. `commit_micros` is the difference of an update with a durable commit and one without.
`kilobyte` is from the part `rows`, `own_table` from the part `own`, `in_flight` from two batches in flight at 0 and
5 ms, `bend` from the part `batch`, and `burst` from eight consumers at 0, 5 and 20 ms.
"""

from __future__ import annotations

from typing import Final

from jobstatus_consumer.capacity.model import Cost, Costs

COSTS: Final = Costs(
    consumer=Cost(batch=570.85, event=16.351, kilobyte=4.509, own_table=1.042, in_flight=1.0, idle=0.0419),
    postgres=Cost(batch=379.01, event=10.586, kilobyte=41.035, own_table=2.033, in_flight=1.001, idle=0.0183),
    broker=Cost(batch=8.15, event=0.278, kilobyte=2.23, own_table=1.188, in_flight=1.0, idle=0.0203),
    turn=Cost(batch=1091.94, event=16.292, kilobyte=46.964, own_table=1.861, in_flight=1.45, idle=0.0),
    wal=Cost(batch=233.56, event=247.955, kilobyte=1092.223, own_table=1.982, in_flight=1.0, idle=0.0),
    commit_micros=114.9,
    bend=8.0,
    megabytes=94.2,
    burst=0.2,
)
