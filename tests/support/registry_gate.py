"""A gate in front of a real schema registry, which shows what a registry in trouble shows."""

from __future__ import annotations

import http.client
import ssl
import threading
from contextlib import suppress
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import urlsplit

HTML: Final = b"<html><body>Sign in to the proxy</body></html>"


class Mood(Enum):
    """How the gate answers."""

    OPEN = auto()
    """as the registry does"""
    SILENT = auto()
    """not at all, until the mood changes"""
    HTML = auto()
    """with a page of a proxy, status 200"""
    NOT_FOUND_HTML = auto()
    """with a page of a web server, status 404"""
    LOGIN_REFUSED = auto()
    BROKEN = auto()
    """status 500"""


class Gate:
    """Its `url` takes the place of the registry's. `asked` lists what was requested."""

    def __init__(self, registry: str, tls: ssl.SSLContext | None = None) -> None:
        self.mood = Mood.OPEN
        self.asked: list[str] = []
        self.logins: list[str | None] = []
        self.ended = threading.Event()
        self.to = urlsplit(registry)
        gate = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                gate.handle(self)

            do_POST = do_GET  # noqa: N815 - the name that the server looks for

            def log_message(self, *_: object) -> None:
                """Not to stderr."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """A client that breaks off, such as in the middle of a handshake, is no error of the gate."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._server.server_port}{self.to.path}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        self.asked.append(request.path)
        self.logins.append(request.headers.get("Authorization"))
        while self.mood is Mood.SILENT and not self.ended.wait(0.05):
            pass
        status, text = self._answer(request, body)
        with suppress(OSError):  # whoever asked has gone
            request.send_response(status)
            request.send_header("Content-Type", "application/json" if text[:1] in b"{[" else "text/html")
            request.send_header("Content-Length", str(len(text)))
            request.end_headers()
            request.wfile.write(text)

    def _answer(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes]:
        fixed = {
            Mood.HTML: (200, HTML),
            Mood.NOT_FOUND_HTML: (404, HTML),
            Mood.LOGIN_REFUSED: (401, b'{"error_code":40101,"message":"no"}'),
            Mood.BROKEN: (500, b'{"error_code":50001,"message":"no"}'),
        }.get(self.mood)
        if fixed is not None:
            return fixed
        connection = http.client.HTTPConnection(str(self.to.hostname), self.to.port, timeout=10)
        try:
            kept = {
                name: value for name, value in request.headers.items() if name.lower() in ("content-type", "accept")
            }
            connection.request(request.command, request.path, body or None, kept)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except OSError:
            return 502, HTML
        finally:
            connection.close()

    def close(self) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
