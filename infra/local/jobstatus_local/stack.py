"""Both servers at once, started side by side."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from jobstatus_local.jars import Progress
from jobstatus_local.kafka import LocalKafka
from jobstatus_local.postgres import LocalPostgres


@dataclass(frozen=True, slots=True)
class LocalStack:
    kafka: LocalKafka
    postgres: LocalPostgres


@contextmanager
def local_stack(
    kafka: LocalKafka | None = None,
    postgres: LocalPostgres | None = None,
    *,
    progress: Progress | None = None,
) -> Iterator[LocalStack]:
    """Run a broker and a database for the length of a `with`. Blocks until both answer.

    Raises:
        LocalServerError: one of them did not start; the other one is stopped.
    """
    stack = LocalStack(kafka or LocalKafka(progress=progress), postgres or LocalPostgres())
    with ExitStack() as on_exit:
        on_exit.callback(stack.kafka.close)
        on_exit.callback(stack.postgres.close)
        with ThreadPoolExecutor(2) as pool:
            starts = [pool.submit(stack.kafka.start), pool.submit(stack.postgres.start)]
        for start in starts:
            start.result()
        yield stack
