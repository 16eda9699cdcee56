"""Chaos for a given time, on servers of its own: python -m tests.chaos --seconds 1800 --seed 1

Ends with 0 where no promise was broken, with 1 where one was.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path
from typing import get_args

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from jobstatus_consumer.config import Flush
from support.forked import COMMAND

from chaos.broken import WAYS, broken_command
from chaos.options import Options
from chaos.run import run
from chaos.stage import open_stage
from chaos.world import PROTOCOLS


def main() -> int:
    asked = _parser().parse_args()
    # as Ctrl-C does: no process of the run is left
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {text}", file=sys.stderr, flush=True)

    options = Options(
        seconds=asked.seconds,
        seed=asked.seed,
        rate=asked.rate,
        protocols=list(PROTOCOLS) if asked.protocol == "each" else [asked.protocol],
        broken=asked.broken,
        logs=asked.logs,
        target=asked.target,
        windows=asked.window,
        flushes=asked.flush,
        command=broken_command(asked.broken) if asked.broken else (COMMAND,),
    )
    with open_stage() as stage:
        report = run(stage, options, say)
    print(report.as_json() if asked.json else "\n".join(report.lines()))
    return 1 if report.violations else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0, help="how long faults are injected")
    parser.add_argument("--seed", type=int, default=1, help="which faults, in which order, of which length")
    parser.add_argument("--rate", type=float, default=150.0, help="records a second, of all workers together")
    parser.add_argument(
        "--protocol",
        choices=[*PROTOCOLS, "each"],
        default="each",
        help="of the group; `each`: one after the other, a third of the time each",
    )
    parser.add_argument("--broken", choices=list(WAYS), help="break this in the consumers: the checker must say so")
    parser.add_argument("--target", action="store_true", help="an application has a jobs table, which is written, too")
    parser.add_argument(
        "--window",
        type=int,
        nargs="+",
        default=[1],
        choices=range(1, 5),
        help="how many batches each consumer has in flight, in turn: `1 4` for every other one",
    )
    parser.add_argument(
        "--flush",
        nargs="+",
        default=["linger"],
        choices=get_args(Flush),
        help="how each consumer flushes, in turn",
    )
    parser.add_argument("--logs", type=Path, metavar="FOLDER", help="leave the logs of consumers and workers there")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a page")
    return parser


if __name__ == "__main__":
    sys.exit(main())
