"""Jars are fetched also where only the system's store knows the certificate, as behind a company's proxy.

`certificates/` holds an authority and a server's certificate for localhost, signed by it and valid for 100 years. The
key of the authority was thrown away; the key of the server is of no use anywhere else.
"""

from __future__ import annotations

import http.server
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from jobstatus_local import jars
from jobstatus_local.certificates import trust_the_system
from jobstatus_local.errors import FetchError

CERTIFICATES = Path(__file__).with_name("certificates")
CONTENT = b"a jar"
OTHER_STORES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_DIR", "SSL_CERT_FILE")
PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


class Repository(http.server.BaseHTTPRequestHandler):
    """Serves the same bytes at every address."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """A Maven repository over HTTPS, which the user's jgo settings name as the only one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / "server.pem")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Repository)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    for name in (*OTHER_STORES, *PROXIES):
        monkeypatch.delenv(name, raising=False)
    settings = tmp_path / "home" / ".config"
    settings.mkdir(parents=True)
    address = f"https://localhost:{server.server_address[1]}/maven"
    (settings / "jgo.conf").write_text(f"[repositories]\ncentral = {address}\n")
    monkeypatch.setenv("HOME", str(settings.parent))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    serving = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    serving.start()
    yield address
    server.shutdown()
    serving.join()
    server.server_close()


def fetch(into: Path) -> bytes:
    with trust_the_system():
        return jars.download("org.example:thing:1.0", into).read_bytes()


@pytest.mark.usefixtures("repository")
def test_a_certificate_that_only_the_system_knows_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "authority.pem"))
    assert fetch(tmp_path) == CONTENT


@pytest.mark.usefixtures("repository")
def test_a_certificate_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"cannot fetch org.example:thing:1.0 from localhost: .*certificate verify"):
        fetch(tmp_path)


def test_afterwards_everything_is_as_it_was() -> None:
    before = ssl.SSLContext
    with trust_the_system():
        assert ssl.SSLContext is not before
    assert ssl.SSLContext is before
