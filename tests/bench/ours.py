"""Contender: `jobstatus consume --until-caught-up`, log lines and all; what counts a batch marks its end."""

from __future__ import annotations

import sys
from unittest import mock

from jobstatus_consumer.cli.main import main as jobstatus
from jobstatus_consumer.stream.run_stats import RunStats
from jobstatus_consumer.stream.tasks import BatchWritten

from .marks import Marks


def main() -> None:
    marks = Marks(int(sys.argv[1]))
    wrote = RunStats.wrote

    def marking(stats: RunStats, result: BatchWritten) -> None:
        wrote(stats, result)
        marks.batch(len(result.batch.events) - len(result.written.rejected))

    sys.argv = ["jobstatus", "consume", "--until-caught-up"]
    try:
        with mock.patch.object(RunStats, "wrote", marking):
            jobstatus()
    except SystemExit as end:
        if end.code:
            raise
    marks.tell()


if __name__ == "__main__":
    main()
