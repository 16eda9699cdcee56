"""The files with certificates and keys: that a change is noticed, and what is said of files that cannot be used."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from jobstatus_schemas.certificates import LOOK_EVERY, SETTLES_IN, CertificateFiles, Change, expires_at, trouble_with
from support.certificates import Authority, Certificate


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def own(authority: Authority) -> Certificate:
    return authority.sign("worker")


def properties(authority: Authority, own: Certificate) -> dict[str, str]:
    return {
        "ssl.ca.location": str(authority.certificate),
        "ssl.certificate.location": str(own.certificate),
        "ssl.key.location": str(own.key),
    }


def look_after(files: CertificateFiles, clock: Clock, seconds: float) -> Change | None:
    clock.now += seconds
    return files.look()


def test_a_change_counts_once_the_files_have_settled(authority: Authority, own: Certificate) -> None:
    clock = Clock()
    files = CertificateFiles(properties(authority, own), clock)
    assert look_after(files, clock, LOOK_EVERY / 2) is None
    assert look_after(files, clock, LOOK_EVERY) is Change.NONE
    before = own.certificate.read_text()
    own.certificate.write_text("half")
    assert look_after(files, clock, LOOK_EVERY) is Change.UNSETTLED
    own.certificate.write_text(before.replace("A", "B"))
    assert look_after(files, clock, SETTLES_IN) is Change.UNSETTLED
    assert look_after(files, clock, SETTLES_IN / 2) is None
    assert look_after(files, clock, SETTLES_IN / 2) is Change.NEW
    own.certificate.unlink()
    assert look_after(files, clock, SETTLES_IN) is Change.UNSETTLED
    own.certificate.write_text(before)
    assert look_after(files, clock, SETTLES_IN) is Change.NONE


def test_a_file_with_another_date_and_the_same_content_is_no_change(authority: Authority, own: Certificate) -> None:
    clock = Clock()
    files = CertificateFiles(properties(authority, own), clock)
    os.utime(own.key, (1.0, 1.0))
    assert look_after(files, clock, LOOK_EVERY) is Change.NONE


def test_without_files_nothing_is_looked_at() -> None:
    clock = Clock()
    files = CertificateFiles({"ssl.ca.location": "probe", "ssl.key.location": ""}, clock)
    assert look_after(files, clock, LOOK_EVERY) is None
    assert files.expires_at is None


def test_a_pipe_is_not_read_and_a_folder_is_no_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    clock = Clock()
    files = CertificateFiles({"ssl.ca.location": str(tmp_path), "ssl.certificate.location": str(pipe)}, clock)
    assert look_after(files, clock, LOOK_EVERY) is Change.NONE
    assert files.expires_at is None


@pytest.mark.parametrize("days", [0, 1, 365 * 40])
def test_when_a_certificate_expires(authority: Authority, days: int) -> None:
    """After 2050 the time is written with four digits for the year."""
    path = authority.sign("worker", days=days).certificate
    expected = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc.timestamp()
    assert expires_at(str(path)) == expected


@pytest.mark.parametrize("text", ["", "no PEM", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"])
def test_what_is_no_certificate_has_no_end(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file"
    path.write_text(text)
    assert expires_at(str(path)) is None


def empties(path: Path) -> None:
    path.write_text("")


def test_files_that_can_be_used_have_no_trouble(authority: Authority, own: Certificate) -> None:
    assert trouble_with(properties(authority, own)) == ""
    hidden = authority.sign("hidden", password="hunter2")
    assert trouble_with({**properties(authority, hidden), "ssl.key.password": "hunter2"}) == ""


@pytest.mark.parametrize(
    ("what", "spoil", "words"),
    [
        ("key", Path.unlink, "there is no file {key}"),
        ("certificate", empties, "the file {certificate} is empty or cannot be read"),
        ("authority", empties, "the file {authority} is empty or cannot be read"),
        ("certificate", lambda path: path.write_text("PEM?"), "the file {certificate} has no certificate in PEM"),
        ("key", lambda path: path.write_text("PEM?"), "the key in {key} or the certificate in {certificate} cannot"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(
    authority: Authority, own: Certificate, what: str, spoil: Callable[[Path], object], words: str
) -> None:
    paths = {"authority": authority.certificate, "certificate": own.certificate, "key": own.key}
    spoil(paths[what])
    assert trouble_with(properties(authority, own)).startswith(words.format(**paths))


def test_a_pair_that_does_not_fit_and_an_expired_certificate_are_named(authority: Authority, own: Certificate) -> None:
    other = authority.sign("other")
    mixed = Certificate(own.certificate, other.key)
    assert trouble_with(properties(authority, mixed)) == (
        f"the key in {other.key} does not belong to the certificate in {own.certificate}"
    )
    expired = authority.sign("expired", days=0)
    text = trouble_with(properties(authority, expired))
    assert text.startswith(f"the certificate in {expired.certificate} expired at {time.gmtime().tm_year}-")


def test_an_encrypted_key_asks_nobody_for_its_password(authority: Authority) -> None:
    hidden = authority.sign("hidden", password="hunter2")
    text = trouble_with({**properties(authority, hidden), "ssl.key.password": "wrong"})
    assert "cannot be used" in text
    assert "wrong" not in text
    assert "cannot be used" in trouble_with(properties(authority, hidden))
