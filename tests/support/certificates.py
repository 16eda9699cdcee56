"""Certificates of a test's own: an authority, and what it signs."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)
HERE = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))


class Certificate(NamedTuple):
    """A certificate and its key, each a file in PEM."""

    certificate: Path
    key: Path

    @property
    def together(self) -> str:
        """The key and the certificate in one text, as a broker's keystore."""
        return self.key.read_text() + self.certificate.read_text()


class Authority:
    """A certificate authority in a folder, which nobody else trusts."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        own = self._builder(self._name, self._key, 2)
        self.certificate = folder / f"{name}.pem"
        self._write(self.certificate, own.add_extension(x509.BasicConstraints(ca=True, path_length=0), True))

    def sign(self, name: str, *, host: str = "", days: int = 1, password: str = "") -> Certificate:
        """A new certificate of a server and a client `name`, for the host 127.0.0.1 or another one.

        With 0 days it has expired. The key is encrypted if there is a password.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        names = x509.SubjectAlternativeName([x509.DNSName(host) if host else HERE])
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = self._builder(subject, key, days).add_extension(usage, False).add_extension(names, False)
        found = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        self._write(found.certificate, made)
        hidden: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if password:
            hidden = serialization.BestAvailableEncryption(password.encode())
        form = serialization.PrivateFormat.PKCS8
        found.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, hidden))
        return found

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, days: int) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        made = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key.public_key())
        made = made.serial_number(x509.random_serial_number())
        made = made.not_valid_before(now - DAY).not_valid_after(now + days * DAY)
        own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return made.add_extension(own, False).add_extension(signer, False)

    def _write(self, path: Path, made: x509.CertificateBuilder) -> None:
        path.write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
