"""The configuration of the local brokers: `server.properties` and the Java command line, as pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jobstatus_local.ports import LOOPBACK

FORMAT_CLASS = "kafka.tools.StorageTool"
SERVER_CLASS = "kafka.Kafka"


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """The three listeners of one broker, and the address that it gives to clients.

    Clients connect to `advertised`, which leads to `port`, perhaps through a proxy. The other brokers and our own
    readiness probe use `internal_port`, so that a fault of the proxy does not split the cluster.
    """

    node_id: int
    port: int
    internal_port: int
    controller_port: int
    advertised: tuple[str, int]


def server_properties(node: NodeAddress, cluster: Sequence[NodeAddress], data: Path, extra: Mapping[str, str]) -> str:
    """The text of one broker's `server.properties`; `extra` wins over everything here."""
    host, port = node.advertised
    voters = ",".join(f"{member.node_id}@{LOOPBACK}:{member.controller_port}" for member in cluster)
    properties = {
        "process.roles": "broker,controller",
        "node.id": str(node.node_id),
        "controller.quorum.voters": voters,
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "INTERNAL",
        "listeners": f"CLIENT://{LOOPBACK}:{node.port},INTERNAL://{LOOPBACK}:{node.internal_port},"
        f"CONTROLLER://{LOOPBACK}:{node.controller_port}",
        "advertised.listeners": f"CLIENT://{host}:{port},INTERNAL://{LOOPBACK}:{node.internal_port}",
        "listener.security.protocol.map": "CLIENT:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(data),
        **replication(len(cluster)),
        "auto.create.topics.enable": "false",
        # a broker that comes back after SIGKILL may register only when its old session has ended
        "broker.session.timeout.ms": "6000" if len(cluster) > 1 else "3000",
        "broker.heartbeat.interval.ms": "1000",
        "group.initial.rebalance.delay.ms": "0",
        "offsets.topic.num.partitions": "8",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.num.partitions": "4",
        **extra,
    }
    return "".join(f"{name}={_escape(value)}\n" for name, value in properties.items())


def replication(brokers: int) -> dict[str, str]:
    """Three replicas, of which two must be in sync; fewer if there are fewer brokers."""
    copies, in_step = str(min(brokers, 3)), str(min(brokers, 2))
    return {
        "default.replication.factor": copies,
        "min.insync.replicas": in_step,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": in_step,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": in_step,
    }


def java_options(workdir: Path, heap_megabytes: int) -> list[str]:
    """Options of a small virtual machine that starts quickly and writes only below `workdir`."""
    return [
        f"-Xmx{heap_megabytes}m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-XX:-UsePerfData",
        "-XX:+ExitOnOutOfMemoryError",
        f"-XX:ErrorFile={workdir}/java-crash-%p.log",
        f"-Djava.io.tmpdir={workdir}",
        "-Djava.awt.headless=true",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
    ]


def _escape(value: str) -> str:
    """A property's value as java.util.Properties reads it."""
    escaped = value.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return "".join(c if c.isascii() else f"\\u{ord(c):04x}" for c in escaped)
