"""The topic and the tables of one run together, and their removal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from jobstatus_demo.plan import Plan
from jobstatus_demo.servers import Servers
from jobstatus_demo.tables import Tables
from jobstatus_demo.topic import Topic


@dataclass(frozen=True)
class Stage:
    """What both parts of a run work on."""

    plan: Plan
    topic: Topic
    tables: Tables


@contextmanager
def open_stage(plan: Plan, servers: Servers, env: Mapping[str, str]) -> Iterator[Stage]:
    """The topic and the tables of a run as they are, with the demo's own connections closed at the end."""
    with ExitStack() as on_exit:
        topic = Topic(plan.name, env)
        on_exit.callback(topic.close)
        tables = Tables(plan, servers.database_url, env, is_alone=servers.postgres == "local")
        on_exit.callback(tables.close)
        yield Stage(plan, topic, tables)


@contextmanager
def made_stage(plan: Plan, servers: Servers, env: Mapping[str, str], *, keep: bool = False) -> Iterator[Stage]:
    """Make the topic and the tables of a run. Remove them at the end, however the run ends, unless `keep` is set."""
    with open_stage(plan, servers, env) as stage, ExitStack() as on_exit:
        for part in (stage.topic, stage.tables):
            if not keep:
                on_exit.callback(part.remove)
            part.make()
        yield stage
