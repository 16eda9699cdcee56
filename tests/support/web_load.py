"""Requests to a web server of a test, one after the other in several threads, until the server ends."""

from __future__ import annotations

import http.client
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from support.waiting import until

THREADS = 6


def post(port: int, path: str, timeout: float = 30) -> int:
    """The status of the answer; 0 if the server does not answer."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/{path}", method="POST")
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except (OSError, http.client.HTTPException):
        return 0


class Load:
    """`answered` has the paths that were answered as they should be."""

    def __init__(self, port: int) -> None:
        self.answered: set[str] = set()
        self._port = port
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(number,)) for number in range(THREADS)]

    def until_answered(self, count: int) -> None:
        """Wait until so many requests were answered."""
        until(lambda: len(self.answered) >= count, f"{count} answers, not {len(self.answered)}", 60)

    def _send(self, thread: int) -> None:
        number = 0
        while not self._over.is_set():
            path = f"job-{thread}-{number}"
            if post(self._port, path) == 202:
                self.answered.add(path)
            number += 1
            self._over.wait(0.005)


@contextmanager
def load(port: int) -> Iterator[Load]:
    """Send requests until the end of the block. The server answers already."""
    until(lambda: post(port, "first") == 202, "the server answers", 60)
    found = Load(port)
    for thread in found._threads:
        thread.start()
    try:
        yield found
    finally:
        found._over.set()
        for thread in found._threads:
            thread.join()
