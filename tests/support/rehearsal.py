"""Runs the containers of rendered manifests as processes: their arguments, variables, files and probes, and no more.

What a cluster would give is replaced: a mounted folder by one of the test's, a name by an address of this machine.
"""

from __future__ import annotations

import http.client
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from jobstatus_local.ports import LOOPBACK, PortLease
from support.forked import COMMAND, Command
from support.waiting import until

Object = dict[str, Any]
_MODE: Final = 0o440 if os.geteuid() == 0 else 0o400
"""As in the chart, whose mounted files belong to root. libpq refuses a key of another owner that a group may read."""


def pod_of(item: Object) -> Object:
    """The specification of an object's pod."""
    found: Object = item["spec"] if item["kind"] == "Pod" else item["spec"]["template"]["spec"]
    return found


def named(objects: list[Object], kind: str, component: str) -> Object:
    """The one object of this kind and component."""
    (found,) = [
        item
        for item in objects
        if item["kind"] == kind and item["metadata"]["labels"]["app.kubernetes.io/component"] == component
    ]
    return found


@dataclass
class Container:
    """A container that runs as a process."""

    process: subprocess.Popen[bytes]
    port: int
    spec: Object
    log: Path

    def probe(self, kind: str) -> int:
        """The status with which a probe is answered, as kubelet sees it: 0 if there is no answer in time."""
        probe = self.spec[kind]
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=probe.get("timeoutSeconds", 1))
        try:
            connection.request("GET", probe["httpGet"]["path"])
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    def starts(self) -> None:
        """Wait until the startup probe succeeds, for as long as kubelet does."""
        probe = self.spec["startupProbe"]

        def started() -> bool:
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            return self.probe("startupProbe") == 200

        until(started, "the startup probe succeeds", probe["periodSeconds"] * probe["failureThreshold"])

    def becomes(self, kind: str, status: int) -> None:
        """Wait until a probe is answered so."""
        until(lambda: self.probe(kind) == status, f"{kind} is {status}; {self.log.read_text()[-2000:]}", 60)


@dataclass
class Rehearsal:
    """`files` has the content of each Secret and ConfigMap, by name and key; `replaced` the texts that differ here."""

    folder: Path
    files: Mapping[str, Mapping[str, str]]
    replaced: Mapping[str, str]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def to_the_end(self, pod: Object) -> list[str]:
        """Run the pod's containers in the order in which kubelet does; what they have written. All must succeed."""
        found = []
        for container in (*pod.get("initContainers", []), *pod["containers"]):
            process = self._start(pod, container, 0, log := self._log(container))
            code = process.wait(120)
            assert code == 0, f"{container['name']}: {code}\n{log.read_text()[-3000:]}"
            found.append(log.read_text())
        return found

    @contextmanager
    def running(self, pod: Object) -> Iterator[Container]:
        """The pod's one container, for the length of a `with`; killed if it still runs at the end."""
        (spec,) = pod["containers"]
        with ExitStack() as ends:
            lease = ends.enter_context(PortLease())
            process = self._start(pod, spec, lease.port, log := self._log(spec))
            ends.callback(_kill, process)
            yield Container(process, lease.port, spec, log)

    def _log(self, container: Object) -> Path:
        return self.folder / f"{container['name']}-{len(self.processes)}.log"

    def _start(self, pod: Object, container: Object, port: int, log: Path) -> subprocess.Popen[bytes]:
        mounts = self._mounts(pod, container)
        environ = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
        for item in container["env"]:
            text = item.get("value", LOOPBACK).replace("$(POD_IP)", LOOPBACK)
            for ours in container.get("ports", []):
                text = text.replace(f"0.0.0.0:{ours['containerPort']}", f"{LOOPBACK}:{port}")
            environ[item["name"]] = self._here(text, mounts)
        arguments = [self._here(text, {}) for text in container["args"]]
        with log.open("wb") as out:
            process = Command[bytes](
                [COMMAND, *arguments], env=environ, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
            )
        self.processes.append(process)
        return process

    def _here(self, text: str, mounts: Mapping[str, str]) -> str:
        for there, here in {**self.replaced, **mounts}.items():
            text = here if text == there else text.replace(there, here) if there.startswith("/") else text
        return text

    def _mounts(self, pod: Object, container: Object) -> dict[str, str]:
        """Write what is mounted into folders of the test; their paths by those in the container."""
        volumes = {item["name"]: item.get("secret") or item["configMap"] for item in pod["volumes"]}
        found = {}
        for mount in container["volumeMounts"]:
            volume = volumes[mount["name"]]
            source = volume.get("secretName") or volume["name"]
            folder = self.folder / f"{container['name']}-{mount['name']}"
            folder.mkdir(exist_ok=True)
            for item in volume["items"]:
                path = folder / item["path"]
                path.unlink(missing_ok=True)
                path.write_text(self.files[source][item["key"]])
                path.chmod(_MODE)
            found[mount["mountPath"] + "/"] = f"{folder}/"
        return found


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait(30)
