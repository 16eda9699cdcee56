"""What is asked of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jobstatus_consumer.config import Flush
from support.forked import COMMAND

from chaos.schedule import Step


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is asked of a run; with a `script` its steps are played once, else the seed's own for so many seconds."""

    seconds: float = 60.0
    seed: int = 1
    rate: float = 150.0
    protocols: Sequence[str] = ("cooperative-sticky",)
    poison_share: float = 0.04
    """of what the raw producer sends, which is a third of all"""
    longer: float = 1.0
    """0: every fault as short as it may be"""
    script: Sequence[Step] | None = None
    command: Sequence[str] = (COMMAND,)
    arguments: Sequence[str] = ()
    windows: Sequence[int] = (1,)
    """how many batches each consumer has in flight, in turn"""
    flushes: Sequence[Flush] = ("linger",)
    """how each consumer flushes, in turn"""
    broken: str | None = None
    patience: float = 1.0
    """0.1: the run is expected to fail, so nothing is awaited for long"""
    target: bool = False
    """whether an application has a table of its own, which the consumers write as well"""
    logs: Path | None = None
    """where the logs of consumers and workers are left"""
