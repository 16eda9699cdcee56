"""The constants of the model in `capacity.py`, made by `python -m tests.bench.scale.renew`.

They are the fit of `tests/bench/scale/fit.py` to `tests/bench/scale/result.json`, a run of `make bench ARGS=scale`.

Measured on: date 2026-11-29, cores 2, memory 24 GB, processor Intel(R) Xeon(R) Processor, Kafka 4.3.1, PostgreSQL
18.6, librdkafka 2.16.0, Python 3.11.7; medians of 1 rounds of 2 s; a commit 2.29 ms; other programs took up to 2.2
cores.

`batch` and `event` of `consumer`, `postgres`, `broker` and `wal` are from the part `batch`: what the processes used for
batches of 1, 10, 200 and 500 events. `turn` is what a batch took there at 5 ms beside the round trip and the commit.
`commit_micros` is the difference of an update with a durable commit and one without. `kilobyte` is from the
part `rows`, `own_table` from the part `own`, `in_flight` from two batches in flight at 5 ms beside one, and `bend` from
the part `batch` and eight consumers at 0 ms.
"""

from __future__ import annotations

from typing import Final

from jobstatus_consumer.core.capacity import Cost, Costs

COSTS: Final = Costs(
    consumer=Cost(batch=926.15, event=20.193, kilobyte=6.043, own_table=1.152, in_flight=1.0),
    postgres=Cost(batch=534.47, event=11.934, kilobyte=38.06, own_table=1.885, in_flight=1.0),
    broker=Cost(batch=171.67, event=7.291, kilobyte=14.02, own_table=1.782, in_flight=1.0),
    turn=Cost(batch=2512.37, event=236.852, kilobyte=297.839, own_table=2.19, in_flight=1.0),
    wal=Cost(batch=282.01, event=256.261, kilobyte=1036.465, own_table=1.89, in_flight=1.004),
    commit_micros=2293.6,
    bend=8.0,
    megabytes=91.6,
)
