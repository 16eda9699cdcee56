"""Where the broker and the database of a run come from: the user's own, or local ones that are started here."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import psycopg
from jobstatus_local.errors import LocalServerError
from jobstatus_local.jars import CACHE_VARIABLE
from jobstatus_local.kafka import LocalKafka
from jobstatus_local.postgres import LocalPostgres
from jobstatus_schemas.protocol import ENV_PREFIX, KAFKA_ENV_PREFIX
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from jobstatus_demo.errors import DemoError
from jobstatus_demo.plan import Plan

BOOTSTRAP = f"{KAFKA_ENV_PREFIX}BOOTSTRAP_SERVERS"
DATABASE = f"{ENV_PREFIX}DATABASE_URL"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Servers:
    """The addresses, and for each server whether it is `yours` or `local`."""

    bootstrap_servers: str
    database_url: str
    kafka: str
    postgres: str

    def environment(self, plan: Plan, base: Mapping[str, str]) -> dict[str, str]:
        """The environment of a child: `base` without jobstatus settings except your broker's, and the run's own.

        Raises `DemoError` if the database's URL is malformed.
        """
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
            DATABASE: self._named(plan.name),
            "JOBSTATUS_TOPIC": plan.name,
            "JOBSTATUS_GROUP_ID": plan.name,
            "JOBSTATUS_TABLE": plan.table,
        }

    def _named(self, application: str) -> str:
        # libpq's messages repeat the URL or its host, either of which may hold (a piece of) the password
        if not _is_well_formed(self.database_url):
            wanted = (
                "postgresql://user:password@host:port/database, with @, / and : of the password as %40, %2F and %3A"
            )
            raise DemoError(f"{DATABASE} is malformed, so the demo did not run; give {wanted}")
        return make_conninfo(self.database_url, application_name=application)


def _is_well_formed(url: str) -> bool:
    """False if libpq refuses the URL, or took a piece of the password for the host or the port."""
    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return False
    return "@" not in str(given.get("host") or "")[1:] and not re.search(r"[^\d, ]", str(given.get("port") or ""))


@contextmanager
def servers(say: Say, environ: Mapping[str, str] | None = None) -> Iterator[Servers]:
    """The servers of a run, for the length of a `with`. Blocks until both answer.

    Raises `DemoError` if one cannot be fetched or started.
    """
    given = os.environ if environ is None else environ
    with ExitStack() as on_exit:
        database = _database(given, on_exit)
        bootstrap_servers, kafka = _broker(given, on_exit, say)
        with _needed("PostgreSQL", f"{DATABASE}=postgresql://user:password@host:5432/database"):
            database_url = database.result()
        yield Servers(bootstrap_servers, database_url, kafka, "yours" if given.get(DATABASE) else "local")


def _database(given: Mapping[str, str], on_exit: ExitStack) -> Future[str]:
    """PostgreSQL starts in a thread while the broker starts in this one, which is the one that Ctrl-C interrupts."""
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
    with _needed("Kafka", f"{BOOTSTRAP}=host:9092"):
        kafka = on_exit.enter_context(LocalKafka(progress=say))
    return kafka.bootstrap_servers, "local"


@contextmanager
def _needed(name: str, setting: str) -> Iterator[None]:
    """Turn the failure of a local server into a `DemoError` that says how to go on."""
    try:
        yield
    except LocalServerError as error:
        raise DemoError(
            f"the demo needs a real {name} and could not get one, so it did not run: {error}\n"
            f"Mend that and type `jobstatus demo` again, or use a {name} of your own: {setting} jobstatus demo"
        ) from error
