"""Every way in which a run breaks the deployment, by real means, and mends it again.

A fault is a function of the world and a source of chance. It returns the moment (monotonic) from which on writes
should go on: where the database or the network was away, when it came back; where a process was, when it was hit.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, LiteralString, NamedTuple, Protocol

import psycopg
from support.deployment import Deployment
from support.waiting import until

from chaos import cut_log
from chaos.clients import stop_beside_them
from chaos.ends import BY_OS_EXIT, BY_SIGTERM, Endings
from chaos.findings import Findings
from chaos.fleet import Fleet
from chaos.samples import CommitSampler, RowSampler
from chaos.stage import SESSION_SECONDS, Stage, session
from chaos.strangers import write_and_list
from chaos.workers import Workers


class World(Protocol):
    """What a fault may take hold of."""

    stage: Stage
    deployed: Deployment
    findings: Findings
    fleet: Fleet
    workers: Workers
    endings: Endings
    rows: RowSampler
    commits: CommitSampler
    longer: float

    @property
    def url(self) -> str:
        """The database, past the proxy."""

    def set_back(self) -> None:
        """Set the group's offsets back to the beginning of the log."""


Action = Callable[[World, random.Random], float]


class Fault(NamedTuple):
    """`what` it takes away: two faults at once are of different kinds. `bound`: writes go on within, in seconds."""

    what: Literal["consumer", "database", "network", "broker", "worker", "stranger"]
    action: Action
    bound: float | None = None


def _for_a_while(world: World, chance: random.Random, low: float, high: float) -> None:
    """The one place where a fault paces itself."""
    time.sleep(chance.uniform(low, low + (high - low) * world.longer))


def _met(state: Callable[[], bool], what: str) -> None:
    """Wait until the fault has met what it is there for: a machine with much to do may take longer than the fault."""
    until(state, f"a fault is met: {what}", 60)


def _place(world: World, chance: random.Random) -> int:
    return chance.randrange(len(world.fleet.members))


# -- consumers

ENOUGH_AGAIN: Final = 200
"""records: so long does it take to read them again that the table is looked at meanwhile"""


def _kill(world: World, chance: random.Random) -> float:
    return world.fleet.kill(_place(world, chance))


def _kill_all(world: World, _chance: random.Random) -> float:
    _met(lambda: world.commits.poison_passed > 0, "the group has committed poison, so a dead letter must be there")
    return [world.fleet.kill(place) for place in range(len(world.fleet.members))][-1]


def _freeze(world: World, chance: random.Random) -> float:
    place = _place(world, chance)
    world.fleet.ready(place)
    frozen = world.fleet.freeze(place)
    began = time.monotonic()
    _for_a_while(world, chance, SESSION_SECONDS + 1, SESSION_SECONDS + 6)
    frozen.signal(signal.SIGCONT)
    return began


def _restart(world: World, chance: random.Random) -> float:
    return world.fleet.restart(_place(world, chance))


def _roll(world: World, _chance: random.Random) -> float:
    return [world.fleet.restart(place) for place in range(len(world.fleet.members))][-1]


def _set_back(world: World, _chance: random.Random) -> float:
    _met(lambda: world.rows.timeline.written() >= ENOUGH_AGAIN, f"{ENOUGH_AGAIN} records are written")
    world.set_back()
    return time.monotonic()


def _stop_beside_clients(world: World, chance: random.Random) -> float:
    return stop_beside_them(world.fleet, _place(world, chance), world.findings)


# -- the database

WAITING: Final = "SELECT count(*) FROM pg_locks WHERE relation = 'jobs'::regclass AND NOT granted"
RAISED: Final = "SELECT last_value FROM chaos_raised"


def _terminate(world: World, _chance: random.Random) -> float:
    with session(world.url) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'jobstatus'"
        )
    return time.monotonic()


def _stopped(mode: Literal["fast", "immediate"]) -> Action:
    def stop(world: World, chance: random.Random) -> float:
        world.stage.postgres.stop(mode)
        _for_a_while(world, chance, 1, 12)
        world.stage.postgres.start()
        return time.monotonic()

    return stop


def _kill_server(world: World, chance: random.Random) -> float:
    world.stage.postgres.kill()
    _for_a_while(world, chance, 0.5, 5)
    world.stage.postgres.start()
    return time.monotonic()


def _lock(world: World, chance: random.Random) -> float:
    with session(world.url) as connection, connection.transaction():
        connection.execute("LOCK TABLE jobs IN EXCLUSIVE MODE")
        _for_a_while(world, chance, 2, 9)
        _met(lambda: _number(connection, WAITING) > 0, "a consumer waits for the lock")
        looked = world.commits.samples
        _met(lambda: world.commits.samples >= looked + 3, "the committed offsets are looked at")
    return time.monotonic()


def _read_only(world: World, chance: random.Random) -> float:
    with session(world.url) as connection:
        connection.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        connection.execute("SELECT pg_reload_conf()")
        _for_a_while(world, chance, 1.5, 8)
        connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
        connection.execute("SELECT pg_reload_conf()")
    return time.monotonic()


def _number(connection: psycopg.Connection[Any], query: LiteralString) -> int:
    ((found,),) = connection.execute(query).fetchall()
    return int(found)


AWAY_STATES: Final = ("40001", "40P01", "53100", "53200", "55P03", "57014", "57P03", "58030")


def _trigger(world: World, chance: random.Random) -> float:
    """Statements with certain jobs meet an error that says nothing against the row."""
    state, part = chance.choice(AWAY_STATES), chance.randrange(20)
    with session(world.url) as connection:
        # a rollback does not set a sequence back
        connection.execute("CREATE SEQUENCE chaos_raised MINVALUE 0")
        connection.execute(
            "CREATE OR REPLACE FUNCTION chaos_raises() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"IF abs(hashtext(NEW.job_id)) % 20 = {part} THEN PERFORM nextval('public.chaos_raised'); "
            f"RAISE 'chaos' USING ERRCODE = '{state}'; END IF; RETURN NEW; END $$"
        )
        connection.execute("CREATE TRIGGER chaos BEFORE INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION chaos_raises()")
        _for_a_while(world, chance, 2, 6)
        _met(lambda: _number(connection, RAISED) >= 3, "statements have failed")
        connection.execute("DROP TRIGGER chaos ON jobs")
        connection.execute("DROP SEQUENCE chaos_raised")
    return time.monotonic()


# -- the network between consumers and database


def _cut(world: World, _chance: random.Random) -> float:
    world.stage.proxy.cut()
    return time.monotonic()


def _refuse(world: World, chance: random.Random) -> float:
    world.stage.proxy.refuse()
    world.stage.proxy.cut()
    return _healed(world, chance, 1, 10)


def _deaf(world: World, chance: random.Random) -> float:
    world.stage.proxy.deaf()
    return _healed(world, chance, 2, 10)


def _deaf_for_long(world: World, chance: random.Random) -> float:
    """Long enough for the consumers to give the connection up; what they had sent comes through after that."""
    world.stage.proxy.deaf()
    return _healed(world, chance, 18, 30)


def _delay(world: World, chance: random.Random) -> float:
    world.stage.proxy.delay(chance.uniform(0.05, 0.4))
    return _healed(world, chance, 2, 8)


def _healed(world: World, chance: random.Random, low: float, high: float) -> float:
    _for_a_while(world, chance, low, high)
    world.stage.proxy.heal()
    return time.monotonic()


# -- brokers and workers


def _kill_broker(world: World, chance: random.Random) -> float:
    return _without_broker(world, chance, lambda number: world.stage.kafka.node(number).kill())


def _restart_broker(world: World, chance: random.Random) -> float:
    return _without_broker(world, chance, lambda number: world.stage.kafka.node(number).terminate())


def _without_broker(world: World, chance: random.Random, end: Callable[[int], None]) -> float:
    number = chance.choice(world.stage.kafka.nodes).node_id
    end(number)
    ended = time.monotonic()
    _for_a_while(world, chance, 1, 8)
    world.stage.kafka.node(number).start(120)
    world.stage.in_step()
    return ended


def _cut_log(world: World, chance: random.Random) -> float:
    return cut_log.cut(world.stage, world.deployed, chance, world.findings)


def _ended(ways: Sequence[str]) -> Action:
    def end(world: World, _chance: random.Random) -> float:
        world.endings.play(ways)
        return time.monotonic()

    return end


def _strangers(world: World, _chance: random.Random) -> float:
    write_and_list(world.deployed, world.findings)
    return time.monotonic()


def _kill_worker(world: World, _chance: random.Random) -> float:
    return world.workers.kill()


SET_BACK: Final = "group's offsets set back to 0"
BACK_WITHIN: Final = 5.0
TAKEN_OVER_WITHIN: Final = SESSION_SECONDS + 3.0

FAULTS: Final[Mapping[str, Fault]] = {
    "consumer killed (SIGKILL)": Fault("consumer", _kill, TAKEN_OVER_WITHIN),
    "all consumers killed": Fault("consumer", _kill_all, TAKEN_OVER_WITHIN),
    "consumer frozen past its session": Fault("consumer", _freeze, TAKEN_OVER_WITHIN),
    "consumer restarted (SIGTERM)": Fault("consumer", _restart),
    "all consumers restarted in turn": Fault("consumer", _roll),
    SET_BACK: Fault("consumer", _set_back),
    "health port beset, consumer stops": Fault("consumer", _stop_beside_clients),
    "backends terminated": Fault("database", _terminate, BACK_WITHIN),
    "PostgreSQL stopped, fast": Fault("database", _stopped("fast"), BACK_WITHIN),
    "PostgreSQL stopped, immediate": Fault("database", _stopped("immediate"), BACK_WITHIN),
    "PostgreSQL killed (SIGKILL)": Fault("database", _kill_server, BACK_WITHIN),
    "table locked by another session": Fault("database", _lock, BACK_WITHIN),
    "database read-only": Fault("database", _read_only, BACK_WITHIN),
    "statements fail for some jobs": Fault("database", _trigger, BACK_WITHIN),
    "connections cut": Fault("network", _cut, BACK_WITHIN),
    "connections refused": Fault("network", _refuse, BACK_WITHIN),
    "network deaf": Fault("network", _deaf, BACK_WITHIN),
    "network deaf for long": Fault("network", _deaf_for_long, BACK_WITHIN),
    "network slow": Fault("network", _delay, BACK_WITHIN),
    "broker killed (SIGKILL)": Fault("broker", _kill_broker),
    "broker restarted (SIGTERM)": Fault("broker", _restart_broker),
    "a log loses its tail": Fault("broker", _cut_log),
    "durable worker killed": Fault("worker", _kill_worker),
    "workers end by os._exit": Fault("worker", _ended(BY_OS_EXIT)),
    "workers end by SIGTERM": Fault("worker", _ended(BY_SIGTERM)),
    "foreign records": Fault("stranger", _strangers),
}
