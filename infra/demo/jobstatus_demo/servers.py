"""Where the broker and the database of a run come from: the environment, local servers, or a cluster in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from jobstatus_local.errors import FetchError
from jobstatus_local.jars import CACHE_VARIABLE
from jobstatus_local.kafka import LocalKafka
from jobstatus_local.mock import MockKafka
from jobstatus_local.postgres import LocalPostgres
from jobstatus_schemas.protocol import ENV_PREFIX, KAFKA_ENV_PREFIX
from psycopg.conninfo import make_conninfo

from jobstatus_demo.plan import Plan

BOOTSTRAP = f"{KAFKA_ENV_PREFIX}BOOTSTRAP_SERVERS"
DATABASE = f"{ENV_PREFIX}DATABASE_URL"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Servers:
    """The addresses, and what stands behind them: `yours`, `local`, or for the broker `memory`."""

    bootstrap_servers: str
    database_url: str
    kafka: str
    postgres: str

    def environment(self, plan: Plan, base: Mapping[str, str]) -> dict[str, str]:
        """The environment of a child: `base` without its settings of jobstatus, but your broker's, and ours."""
        kept = {
            name: value
            for name, value in base.items()
            if not name.startswith(ENV_PREFIX)
            or name == CACHE_VARIABLE
            or (self.kafka == "yours" and name.startswith(KAFKA_ENV_PREFIX))
        }
        return {
            **kept,
            BOOTSTRAP: self.bootstrap_servers,
            DATABASE: make_conninfo(self.database_url, application_name=plan.name),
            "JOBSTATUS_TOPIC": plan.name,
            "JOBSTATUS_GROUP_ID": plan.name,
            "JOBSTATUS_TABLE": plan.table,
        }


@contextmanager
def servers(say: Say, environ: Mapping[str, str] | None = None) -> Iterator[Servers]:
    """The servers of a run, for the length of a `with`; raises `LocalServerError` where one does not start."""
    given = os.environ if environ is None else environ
    with ExitStack() as on_exit:
        database = _database(given, on_exit)
        bootstrap_servers, kafka = _broker(given, on_exit, say)
        yield Servers(bootstrap_servers, database.result(), kafka, "yours" if given.get(DATABASE) else "local")


def _database(given: Mapping[str, str], on_exit: ExitStack) -> Future[str]:
    """PostgreSQL starts in a thread while the broker starts here, where Ctrl-C arrives."""
    url = given.get(DATABASE)
    if url:
        ready: Future[str] = Future()
        ready.set_result(url)
        return ready
    postgres = LocalPostgres()

    def start() -> str:
        postgres.start()
        return postgres.url

    on_exit.callback(postgres.close)
    pool = on_exit.enter_context(ThreadPoolExecutor(1))
    return pool.submit(start)


def _broker(given: Mapping[str, str], on_exit: ExitStack, say: Say) -> tuple[str, str]:
    if given.get(BOOTSTRAP):
        return given[BOOTSTRAP], "yours"
    try:
        kafka = on_exit.enter_context(LocalKafka(progress=say))
    except FetchError as error:
        say(
            f"{error}\nSo the demo goes on with the broker that is built into librdkafka, in memory: it speaks Kafka's "
            "protocol, and it proves nothing about a real broker."
        )
        return on_exit.enter_context(MockKafka()).bootstrap_servers, "memory"
    return kafka.bootstrap_servers, "local"
