"""The Java archives of the local broker: locked with checksums in ``jars.lock.toml``, fetched once, verified always.

`jgo` fetches a missing jar by its coordinates from the user's Maven repository. A file enters the cache only after its
SHA-256 was compared, and it is compared again at every use. So a second run needs no network, and an altered jar is
refused wherever it was altered. The cache is ``.cache/jars`` of a checkout, else ``jobstatus/jars`` below
``$XDG_CACHE_HOME`` (``~/.cache``); the environment variable ``JOBSTATUS_LOCAL_CACHE`` names another folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from urllib.parse import urlsplit

from jobstatus_local.certificates import trust_the_system
from jobstatus_local.errors import AlteredFileError, FetchError, LocalServerError

CACHE_VARIABLE = "JOBSTATUS_LOCAL_CACHE"
LOCK_NAME = "jars.lock.toml"
BROKER, KAFKA_TOOLS, AVRO_TOOLS = "broker", "kafka-tools", "avro-tools"

_log = logging.getLogger(__name__)
_CONNECTIONS = 4
_TRIES = 3
_TIMEOUT_SECONDS = 30
_OTHER_PROCESS_SECONDS = 600.0

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of the lock file."""

    group: str
    artifact: str
    version: str
    sha256: str
    size: int

    @property
    def coordinate(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


def kafka_classpath(progress: Progress | None = None) -> str:
    """The class path of the broker, every jar verified.

    Raises:
        FetchError: a jar is not in the cache and cannot be fetched.
        AlteredFileError: a jar does not have its locked checksum.
    """
    return os.pathsep.join(map(str, ensure(locked(BROKER), progress)))


def kafka_tools_classpath(progress: Progress | None = None) -> str:
    """The class path of Kafka's own command line tools (`org.apache.kafka.tools.*`); raises as `kafka_classpath`."""
    return os.pathsep.join(map(str, ensure([*locked(BROKER), *locked(KAFKA_TOOLS)], progress)))


def avro_tools_jar(progress: Progress | None = None) -> Path:
    """The single jar of Avro's command line tools; raises as `kafka_classpath`."""
    (jar,) = ensure(locked(AVRO_TOOLS), progress)
    return jar


def locked(section: str) -> list[Jar]:
    """The jars of one section of our lock file (`broker`, `kafka-tools` or `avro-tools`)."""
    return section_of(resources.files("jobstatus_local").joinpath(LOCK_NAME).read_text(encoding="utf-8"), section)


def section_of(lock: str, section: str) -> list[Jar]:
    """The jars of one section of a lock file with this text."""
    jars = []
    for coordinate, entry in tomllib.loads(lock)[section].items():
        group, artifact, version = coordinate.split(":")
        jars.append(Jar(group, artifact, version, entry["sha256"], entry["size"]))
    return jars


def cache_folder() -> Path:
    """Where the jars are kept; the folder need not exist yet."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute() / "jars"
    checkout = Path(__file__).resolve().parents[3]
    if (checkout / "pyproject.toml").is_file() and (checkout / "infra" / "local").is_dir():
        return checkout / ".cache" / "jars"
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "jobstatus" / "jars"


def ensure(jars: Sequence[Jar], progress: Progress | None = None) -> list[Path]:
    """The verified files of these jars, in order. Fetches those that the cache lacks, and blocks until they are there.

    Raises as `kafka_classpath`.
    """
    folder = cache_folder()
    try:
        if _missing(jars, folder):
            folder.mkdir(parents=True, exist_ok=True)
            with _only_process(folder / ".lock"):
                _fetch(_missing(jars, folder), folder, progress or _log.info)
    except OSError as error:
        raise FetchError(f"cannot keep the jars in {folder}: {error}; {CACHE_VARIABLE} names another folder") from error
    return [folder / jar.file_name for jar in jars]


def _missing(jars: Sequence[Jar], folder: Path) -> list[Jar]:
    return [jar for jar in jars if not _is_good(folder / jar.file_name, jar)]


def _is_good(path: Path, jar: Jar) -> bool:
    """Whether the file is in the cache. An altered file is an error, not a reason to fetch it again."""
    try:
        found = sha256_of(path)
    except FileNotFoundError:
        return False
    if found != jar.sha256:
        raise AlteredFileError(
            f"{path} is not the {jar.coordinate} that was locked: its SHA-256 is {found}, expected {jar.sha256}."
            " It is not used. Delete the file and start again to fetch it anew"
        )
    return True


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _only_process(lock: Path) -> Iterator[None]:
    """Hold the lock file, so that two processes that find an empty cache do not fetch the same jars twice."""
    deadline = time.monotonic() + _OTHER_PROCESS_SECONDS
    with lock.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise FetchError(f"another process has held {lock} for {_OTHER_PROCESS_SECONDS:.0f} s") from None
                time.sleep(0.05)
        yield


def _fetch(jars: Sequence[Jar], folder: Path, progress: Progress) -> None:
    if not jars:
        return
    megabytes = sum(jar.size for jar in jars) / 1_000_000
    progress(f"fetching {len(jars)} jars, {megabytes:.0f} MB, once, into {folder} ...")
    for left_by_a_killed_process in folder.glob(".staging-*"):
        shutil.rmtree(left_by_a_killed_process, ignore_errors=True)
    staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=folder))
    pool = ThreadPoolExecutor(_CONNECTIONS)
    try:
        with trust_the_system():
            for _ in pool.map(lambda jar: _fetch_one(jar, staging, folder), jars):
                pass
    finally:
        # after a failure the other jars are not tried
        pool.shutdown(cancel_futures=True)
        shutil.rmtree(staging, ignore_errors=True)


def _fetch_one(jar: Jar, staging: Path, folder: Path) -> None:
    fetched = download(jar.coordinate, staging)
    found = sha256_of(fetched)
    if found != jar.sha256:
        raise AlteredFileError(
            f"the registry served a {jar.coordinate} with the SHA-256 {found}, expected {jar.sha256}: refused"
        )
    with fetched.open("rb") as file:
        os.fsync(file.fileno())
    fetched.rename(folder / jar.file_name)


def download(coordinate: str, into: Path) -> Path:
    """Fetch one file by its coordinate, unverified, into a folder laid out as Maven does. Tries three times.

    The coordinate is `group:artifact:version` of a jar; the tests add `:classifier:packaging` for another file.

    Raises:
        FetchError: the jar could not be fetched.
    """
    try:
        import requests
        from jgo.maven import MavenContext
    except ImportError as error:
        raise LocalServerError(f"{error}: install jobstatus[local]") from error
    group, artifact, version, *kind = coordinate.split(":")
    context = MavenContext(repo_cache=into, remote_repos=_repositories(), timeout=_TIMEOUT_SECONDS)
    wanted = context.project(group, artifact).at_version(version).artifact(*kind)
    for attempt in range(1, _TRIES + 1):
        try:
            return Path(wanted.resolve())
        except requests.RequestException as error:
            if attempt == _TRIES:
                raise FetchError(f"cannot fetch {coordinate} from {_hosts()}: {_cause(error)}") from error
            (into / wanted.component.path_prefix / wanted.filename).unlink(missing_ok=True)
        except RuntimeError as error:
            # jgo's own message shows the addresses, which may hold a password
            raise FetchError(f"cannot fetch {coordinate}: {_hosts()} did not serve it") from error
    raise AssertionError("unreachable")


def _cause(error: BaseException) -> str:
    """The innermost reason of an error of `requests`, which wraps urllib3's, which wraps the system's."""
    inner = getattr(error, "reason", None) or (error.args[0] if error.args else None)
    return _cause(inner) if isinstance(inner, BaseException) else str(error)


def _hosts() -> str:
    """The repositories by host alone: an address may hold a password."""
    return " and ".join(urlsplit(address).hostname or address for address in _repositories().values())


def _repositories() -> dict[str, str]:
    """Where jgo looks: its default, and what the user's jgo settings add, such as a company's mirror."""
    from jgo.config import GlobalSettings
    from jgo.constants import MAVEN_CENTRAL_URL

    return {"central": MAVEN_CENTRAL_URL, **GlobalSettings.load().repositories}
