"""The files with certificates and keys that librdkafka's properties name: what they have now, and what is wrong there.

librdkafka reads them once, when a client is made. A program that runs for days looks here for new ones, and makes a new
client of them.
"""

from __future__ import annotations

import binascii
import os
import stat
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Final

CERTIFICATE: Final = "ssl.certificate.location"
KEY: Final = "ssl.key.location"
AUTHORITIES: Final = "ssl.ca.location"
FILES: Final = (AUTHORITIES, CERTIFICATE, KEY, "ssl.keystore.location", "ssl.crl.location")
"""The properties with files that a client reads once. A folder is read anew at each connection."""
LOOK_EVERY: Final = 5.0
"""Seconds between two looks at the files."""
SETTLES_IN: Final = 1.0
"""A change counts once the files have stayed as they are for so many seconds: they are replaced one after the other."""

_BEGIN, _END = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"
_VERSION, _LONG_TIME = 0xA0, 0x18
"""Tags of DER: the version of a certificate, and a time with four digits for the year."""

Content = Mapping[str, int]
"""A hash of what each property's file has; `NOTHING` for a file that is not there, or is empty."""
NOTHING: Final = 0
NO_FILE: Final = 1
"""For a folder; and for a pipe, which can be read only once."""


class Change(Enum):
    """What a look at the files found."""

    NONE = auto()
    """they are as the client has read them"""
    UNSETTLED = auto()
    """they differ, and may still be in the middle of their replacement"""
    NEW = auto()
    """they differ, and have stayed so: a new client would have other certificates"""


class CertificateFiles:
    """What a client has read, compared with what its files have now. To be made just before the client is made."""

    def __init__(self, properties: Mapping[str, str], clock: Callable[[], float] = time.monotonic) -> None:
        self._paths = _paths_in(properties)
        self._clock = clock
        self._read = self._found = _content_of(self._paths)
        self._look_at = clock() + LOOK_EVERY
        self.expires_at = expires_at(self._paths[CERTIFICATE]) if CERTIFICATE in self._paths else None
        """when the client's certificate expires, in seconds since 1970-01-01 UTC; None if that is not known"""

    def look(self) -> Change | None:
        """Look at the files; None if that was done a moment ago. Blocks on files.

        They are looked at once in `LOOK_EVERY` seconds, and while they differ once in `SETTLES_IN` seconds.
        """
        now = self._clock()
        if not self._paths or now < self._look_at:
            return None
        before, self._found = self._found, _content_of(self._paths)
        if self._found == self._read:
            self._look_at = now + LOOK_EVERY
            return Change.NONE
        self._look_at = now + SETTLES_IN
        return Change.NEW if self._found == before else Change.UNSETTLED


def trouble_with(properties: Mapping[str, str]) -> str:
    """What is wrong with the files that the properties name; empty if nothing is. Names the file, and no secret.

    It explains why a client or a broker did not take them: it knows PEM alone, and nobody is asked to trust anything.
    """
    paths = _paths_in(properties)
    for path in paths.values():
        if not os.path.exists(path):
            return f"there is no file {path}"
        if _hash_of(path) == NOTHING:
            return f"the file {path} is empty or cannot be read"
    certificate, key = paths.get(CERTIFICATE), paths.get(KEY)
    if certificate is not None:
        end = expires_at(certificate)
        if end is None:
            return f"the file {certificate} has no certificate in PEM"
        if end <= time.time():
            return f"the certificate in {certificate} expired at {in_utc(end)}"
    if certificate is not None and key is not None:
        return _trouble_with_pair(certificate, key, properties.get("ssl.key.password", ""))
    return ""


def _trouble_with_pair(certificate: str, key: str, password: str) -> str:
    import ssl  # slow to load, and needed only where something is wrong

    try:
        # with a password of its own, an encrypted key asks nobody for one
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            return f"the key in {key} does not belong to the certificate in {certificate}"
        return f"the key in {key} or the certificate in {certificate} cannot be used ({error.reason or 'unreadable'})"
    except OSError as error:
        return f"the file {key} or {certificate} cannot be read: {error.strerror}"
    return ""


def expires_at(path: str) -> float | None:
    """When the first certificate in a PEM file expires, in seconds since 1970-01-01 UTC; None if there is none."""
    _, begun, rest = (_bytes_of(path) or b"").partition(_BEGIN)
    body, ended, _ = rest.partition(_END)
    if not begun or not ended:
        return None
    try:
        return _end_of_validity(binascii.a2b_base64(body))
    except (ValueError, IndexError):
        return None


def in_utc(seconds: float) -> str:
    """A time as people and programs read it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _end_of_validity(der: bytes) -> float:
    _, certificate, _ = _element(der, 0)
    _, at, _ = _element(der, certificate)
    tag, _, end = _element(der, at)
    if tag == _VERSION:
        at = end
    for _ in ("serial number", "algorithm", "issuer"):
        _, _, at = _element(der, at)
    _, not_before, _ = _element(der, at)
    _, _, at = _element(der, not_before)
    tag, start, end = _element(der, at)
    text = der[start:end].decode("ascii")
    if tag != _LONG_TIME:
        text = ("20" if text[:2] < "50" else "19") + text
    # not with strptime, which is slow to load
    month, day, hour, minute, second = (int(text[place : place + 2]) for place in range(4, 14, 2))
    return datetime(int(text[:4]), month, day, hour, minute, second, tzinfo=UTC).timestamp()


def _element(der: bytes, at: int) -> tuple[int, int, int]:
    """The tag of the element of DER at `at`, and where its content begins and ends."""
    length, start = der[at + 1], at + 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(der[at + 2 : start], "big")
    return der[at], start, start + length


def _paths_in(properties: Mapping[str, str]) -> dict[str, str]:
    """The path of each property; "probe" has librdkafka look for the system's authorities."""
    return {name: properties[name] for name in FILES if properties.get(name, "") not in ("", "probe")}


def _content_of(paths: Mapping[str, str]) -> Content:
    return {name: _hash_of(path) for name, path in paths.items()}


def _hash_of(path: str) -> int:
    content = _bytes_of(path)
    if content is None:
        return NO_FILE
    return hash(content) if content else NOTHING


def _bytes_of(path: str) -> bytes | None:
    """The content of a file, empty if it cannot be read; None for what is no file."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return None
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
