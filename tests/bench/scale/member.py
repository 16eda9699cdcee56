"""One member of a fleet: `jobstatus consume`, log lines and all, in a process of its own.

It prints a line when its first batch is written. After SIGTERM it prints its marks: for each batch the time, its CPU so
far, the number of events, and the partitions.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from unittest import mock

from jobstatus_consumer.cli.main import main as jobstatus
from jobstatus_consumer.stream.run_stats import RunStats
from jobstatus_consumer.stream.tasks import BatchWritten

from ..marks import peak_megabytes

FIRST = "writing"


def main() -> None:
    marks: list[tuple[float, float, int, list[int]]] = []
    wrote = RunStats.wrote

    def marking(stats: RunStats, result: BatchWritten) -> None:
        wrote(stats, result)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        partitions = [covered.partition for covered in result.batch.ranges]
        marks.append((time.perf_counter(), usage.ru_utime + usage.ru_stime, len(result.batch.events), partitions))
        if len(marks) == 1:
            print(FIRST, flush=True)

    sys.argv = ["jobstatus", "consume"]
    try:
        with mock.patch.object(RunStats, "wrote", marking):
            jobstatus()
    except SystemExit as end:
        if end.code:
            raise
    print(json.dumps({"marks": marks, "peak_megabytes": peak_megabytes()}))


if __name__ == "__main__":
    main()
