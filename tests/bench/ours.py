"""Contender: `jobstatus consume --until-caught-up`, log lines and all; its log line marks the end of each batch."""

from __future__ import annotations

import logging
import sys

from jobstatus_consumer.cli.main import main as jobstatus

from .marks import Marks

WROTE = "Batch updated %d job statuses"


class _Listener(logging.Handler):
    def __init__(self, marks: Marks) -> None:
        super().__init__()
        self._marks = marks

    def emit(self, record: logging.LogRecord) -> None:
        if str(record.msg).startswith(WROTE) and isinstance(record.args, tuple):
            self._marks.batch(int(str(record.args[0])))


def main() -> None:
    marks = Marks(int(sys.argv[1]))
    logging.getLogger("jobstatus.consumer").addHandler(_Listener(marks))
    sys.argv = ["jobstatus", "consume", "--until-caught-up"]
    try:
        jobstatus()
    except SystemExit as end:
        if end.code:
            raise
    marks.tell()


if __name__ == "__main__":
    main()
