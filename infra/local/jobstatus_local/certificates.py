"""Downloads that trust the system's certificate store, and not only the bundle that `requests` brings along.

A company's proxy signs with a certificate of its own, which the administrator puts into the system's store. pip trusts
that store; without this module the jars would be refused on a machine on which pip works.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from jobstatus_local.errors import LocalServerError


@contextmanager
def trust_the_system() -> Iterator[None]:
    """Inside this block every new TLS connection of this process trusts the system's store as well.

    On Linux the environment variables SSL_CERT_FILE and SSL_CERT_DIR name another store, as for OpenSSL.

    Raises:
        LocalServerError: the package `truststore` is not installed.
    """
    try:
        import truststore
    except ImportError as error:
        raise LocalServerError(f"{error}: install jobstatus[local]") from error
    truststore.inject_into_ssl()
    try:
        yield
    finally:
        truststore.extract_from_ssl()
