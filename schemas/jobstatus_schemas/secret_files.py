"""Files that settings name: secrets, as Kubernetes and compose mount them, and certificates.

`JOBSTATUS_KAFKA_<NAME>_FILE` names the file that holds the value of a property; `JOBSTATUS_DATABASE_URL_FILE` that of
the database's URL. A file is read again for each new client and connection, so a secret may be replaced at any time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from jobstatus_schemas.protocol import FILE_SUFFIX, KAFKA_ENV_PREFIX, is_file_variable


def kafka_files(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the files of `JOBSTATUS_KAFKA_<NAME>_FILE`, by property. Raises `ValueError` if the value is set, too."""
    found = {}
    for name, path in environ.items():
        if is_file_variable(name) and path:
            plain = name.removesuffix(FILE_SUFFIX)
            if environ.get(plain):
                raise ValueError(f"{plain} and {name} are both set; set one of them")
            found[plain.removeprefix(KAFKA_ENV_PREFIX).lower().replace("_", ".")] = path
    return found


def read_secret(path: str) -> str:
    """Return the text of a file without the end of its last line. Raises `ValueError`, which names the file."""
    try:
        # not with pathlib, which is slow to load: every worker imports this
        with open(path, encoding="utf-8") as file:
            text = file.read().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError(f"the file {path} is not UTF-8") from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no path"
        raise ValueError(f"the file {path} cannot be read: {why}") from None
    if not text:
        raise ValueError(f"the file {path} is empty")
    return text


def missing_certificates(properties: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the property and the path of each certificate or key that is not there: librdkafka's error names none."""
    for name, path in properties.items():
        is_path = name.startswith("ssl.") and name.endswith(".location") and path not in ("", "probe")
        if is_path and not os.path.exists(path):
            yield name, path
