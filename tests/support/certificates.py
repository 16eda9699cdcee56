"""Certificates of a test's own: an authority, and what it signs. Made by the program openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

from support.installed import program

KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Certificate(NamedTuple):
    """A certificate and its key, each a file in PEM."""

    certificate: Path
    key: Path

    @property
    def together(self) -> str:
        """The key and the certificate in one text, as a broker's keystore."""
        return self.key.read_text() + self.certificate.read_text()


class Authority:
    """A certificate authority in a folder. What it signs is valid for a day."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self.certificate, self._key = folder / f"{name}.pem", folder / f"{name}.key"
        into = ("-keyout", self._key, "-out", self.certificate)
        _openssl("req", "-x509", *KEY, *into, "-days", "2", "-subj", f"/CN={name}")

    def sign(self, name: str, *, host: str = "IP:127.0.0.1", days: int = 1) -> Certificate:
        """A new certificate for `name` and `host`; with 0 days it is expired a second later."""
        made = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        request, extensions = self._folder / f"{name}.csr", self._folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={host}\n")
        _openssl("req", "-new", *KEY, "-keyout", made.key, "-out", request, "-subj", f"/CN={name}")
        signing = ("-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial", "-days", str(days))
        _openssl("x509", "-req", "-in", request, *signing, "-extfile", extensions, "-out", made.certificate)
        return made


def _openssl(*arguments: str | Path) -> None:
    subprocess.run([program("openssl"), *arguments], check=True, capture_output=True, timeout=60)
