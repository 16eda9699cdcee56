"""The constants of the model in `model.py`, made by `python -m tests.bench.scale.renew`.

They are the fit of `tests/bench/scale/fit.py` to `tests/bench/scale/result.json`, a run of `make bench ARGS=scale`.

Measured on: date 2026-11-29, cores 2, memory 24 GB, processor Intel(R) Xeon(R) Processor, Kafka 4.3.1, PostgreSQL
18.6, librdkafka 2.16.0, Python 3.11.7; medians of 3 rounds of 4 s; a commit 0.09 ms; other programs took up to 0.1
cores.

`batch` and `event` of `consumer`, `postgres`, `broker` and `wal` are from the part `batch`: what the processes used for
batches of 1, 10, 200 and 500 events at 0 ms. `idle` is what they used besides with batches of 1 and 10 at 5 ms, and
with eight consumers at 20 ms. `turn` is what a batch took at 5 ms beside the round trip and the commit, less what the
same batches took less at 0 ms. `commit_micros` is the difference of an update with a durable commit and one without.
`kilobyte` is from the part `rows`, `own_table` from the part `own`, `in_flight` from two batches in flight at 5 ms
beside one, `bend` from the part `batch`, and `burst` from eight consumers at 0, 5 and 20 ms.
"""

from __future__ import annotations

from typing import Final

from jobstatus_consumer.capacity.model import Cost, Costs

COSTS: Final = Costs(
    consumer=Cost(batch=544.5, event=14.363, kilobyte=4.306, own_table=1.019, in_flight=1.0, idle=0.0484),
    postgres=Cost(batch=326.0, event=9.841, kilobyte=35.072, own_table=1.931, in_flight=1.003, idle=0.0208),
    broker=Cost(batch=5.91, event=0.249, kilobyte=1.972, own_table=1.633, in_flight=1.006, idle=0.0191),
    turn=Cost(batch=1029.91, event=15.71, kilobyte=40.63, own_table=1.677, in_flight=1.7, idle=0.0),
    wal=Cost(batch=233.34, event=247.66, kilobyte=1092.639, own_table=1.981, in_flight=1.0, idle=0.0),
    commit_micros=91.9,
    bend=8.0,
    megabytes=92.2,
    burst=0.5,
)
