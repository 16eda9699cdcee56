"""Clients of a health port that nobody wants: silent, slow, many, and such as never read their answer."""

from __future__ import annotations

import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

from chaos.findings import PROBE_UNANSWERED, STOP_HELD_UP, Findings
from chaos.fleet import Fleet
from chaos.samples import Loop

EACH_KIND: Final = 50
"""Together more than the server has places for."""
ANSWER_SECONDS: Final = 10.0
STOP_WITHIN: Final = 25.0
"""Seconds. The stop itself has 8 s for a database that is silent, and 10 s to leave the group; the clients stay on."""
KINDS: Final = {
    "silent": b"",
    "in the middle of a request": b"GET /livez HTTP/1.1\r\nX-Slow: ",
    "never reads": b"GET /metrics HTTP/1.1\r\n\r\n",
}


def _connect(address: tuple[str, int], first: bytes) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    client.settimeout(5)
    try:
        client.connect(address)
        client.sendall(first)
    except OSError:
        # the server has cut it already
        client.close()
    return client


@contextmanager
def unwanted(url: str) -> Iterator[None]:
    """Have many of each kind connected; the slow ones send a byte now and then."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    with ExitStack() as on_exit:
        clients = [_connect((host, int(port)), first) for first in KINDS.values() for _ in range(EACH_KIND)]
        for client in clients:
            on_exit.callback(client.close)

        def send_slowly() -> None:
            for client in clients[EACH_KIND : 2 * EACH_KIND]:
                with suppress(OSError):
                    client.send(b"x")

        on_exit.enter_context(Loop("slow clients", send_slowly, 0.2))
        yield


def probe(url: str) -> bool:
    """Whether /livez answers in time, with any status."""
    try:
        with urllib.request.urlopen(f"{url}/livez", timeout=ANSWER_SECONDS):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return True
    except OSError:
        return False


def stop_beside_them(fleet: Fleet, place: int, findings: Findings) -> float:
    """Restart a consumer whose health port is beset; a probe is answered, and the stop waits for nobody."""
    url = fleet.health_url(place)
    with unwanted(url):
        # one may be cut in the place of an unwanted client: a kubelet asks again, too
        if not any(probe(url) for _ in range(3)):
            findings.add(PROBE_UNANSWERED, url, f"{url}/livez, beside {3 * EACH_KIND} unwanted clients")
        began = time.monotonic()
        ended = fleet.restart(place)
    if ended - began > STOP_WITHIN:
        findings.add(STOP_HELD_UP, url, f"the stop took {ended - began:.1f} s, with unwanted clients at {url}")
    return ended
