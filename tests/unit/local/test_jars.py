from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path

import pytest
from jobstatus_local import jars
from jobstatus_local.errors import AlteredFileError, FetchError
from jobstatus_local.jars import Jar

CONTENT = b"what was locked"
JAR = Jar("org.example", "thing", "1.0", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))


class Registry:
    """Stands for the package registry: serves the same bytes for every coordinate, and counts."""

    def __init__(self, content: bytes = CONTENT) -> None:
        self.content = content
        self.served: list[str] = []

    def download(self, coordinate: str, into: Path) -> Path:
        self.served.append(coordinate)
        path = into / coordinate.replace(":", "-")
        path.write_bytes(self.content)
        return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(jars.CACHE_VARIABLE, str(tmp_path))
    return tmp_path / "jars"


@pytest.fixture
def use(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Registry], Registry]:
    def use(registry: Registry) -> Registry:
        monkeypatch.setattr(jars, "download", registry.download)
        return registry

    return use


def test_a_missing_jar_is_fetched_with_one_message(cache: Path, use: Callable[[Registry], Registry]) -> None:
    registry = use(Registry())
    said: list[str] = []
    assert jars.ensure([JAR], said.append) == [cache / "thing-1.0.jar"]
    assert (cache / "thing-1.0.jar").read_bytes() == CONTENT
    assert registry.served == ["org.example:thing:1.0"]
    assert said == [f"fetching 1 jars, 0 MB, once, into {cache} ..."]


def test_the_second_time_needs_no_registry(cache: Path, use: Callable[[Registry], Registry]) -> None:
    use(Registry())
    jars.ensure([JAR])
    registry = use(Registry())
    said: list[str] = []
    assert jars.ensure([JAR], said.append) == [cache / "thing-1.0.jar"]
    assert (registry.served, said) == ([], [])


def test_a_jar_altered_in_the_cache_is_refused_and_named(cache: Path, use: Callable[[Registry], Registry]) -> None:
    registry = use(Registry())
    (path,) = jars.ensure([JAR])
    path.write_bytes(CONTENT + b"!")
    with pytest.raises(AlteredFileError, match=r"thing-1\.0\.jar is not the org\.example:thing:1\.0") as caught:
        jars.ensure([JAR])
    assert JAR.sha256 in str(caught.value)
    assert "Delete the file" in str(caught.value)
    assert len(registry.served) == 1


def test_a_jar_altered_by_the_registry_never_enters_the_cache(cache: Path, use: Callable[[Registry], Registry]) -> None:
    use(Registry(b"something else"))
    with pytest.raises(AlteredFileError, match="the registry served"):
        jars.ensure([JAR])
    assert [path.name for path in cache.iterdir()] == [".lock"]


def test_a_registry_that_fails_leaves_nothing_behind(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(coordinate: str, into: Path) -> Path:
        (into / "half").write_bytes(b"ha")
        raise FetchError("no network")

    monkeypatch.setattr(jars, "download", download)
    with pytest.raises(FetchError, match="no network"):
        jars.ensure([JAR])
    assert [path.name for path in cache.iterdir()] == [".lock"]


def test_what_a_killed_process_had_fetched_is_cleared_away(cache: Path, use: Callable[[Registry], Registry]) -> None:
    (cache / ".staging-old").mkdir(parents=True)
    (cache / ".staging-old" / "half").write_bytes(b"ha")
    use(Registry())
    jars.ensure([JAR])
    assert {path.name for path in cache.iterdir()} == {".lock", "thing-1.0.jar"}


def test_many_that_start_at_once_fetch_once(cache: Path, use: Callable[[Registry], Registry]) -> None:
    registry = use(Registry())
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: jars.ensure([JAR]), range(8)))
    assert results == [[cache / "thing-1.0.jar"]] * 8
    assert len(registry.served) == 1


def test_a_cache_that_cannot_be_written_names_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv(jars.CACHE_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(FetchError, match="JOBSTATUS_LOCAL_CACHE names another folder"):
        jars.ensure([JAR])


def test_the_lock_file_states_content_and_no_address() -> None:
    text = resources.files("jobstatus_local").joinpath(jars.LOCK_NAME).read_text(encoding="utf-8")
    assert "://" not in text
    locked = [jar for section in (jars.BROKER, jars.KAFKA_TOOLS, jars.AVRO_TOOLS) for jar in jars.locked(section)]
    assert len({jar.file_name for jar in locked}) == len(locked) == 48
    assert all(re.fullmatch("[0-9a-f]{64}", jar.sha256) and jar.size > 1000 for jar in locked)


def test_a_checkout_keeps_the_cache_in_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(jars.CACHE_VARIABLE, raising=False)
    checkout = Path(__file__).parents[3]
    if not Path(jars.__file__).is_relative_to(checkout / "infra"):
        pytest.skip("a wheel is tested, not the checkout")
    assert jars.cache_folder() == checkout / ".cache" / "jars"


def test_an_installed_package_keeps_the_cache_where_the_user_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(jars.CACHE_VARIABLE, raising=False)
    monkeypatch.setattr(jars, "__file__", str(tmp_path / "lib" / "site-packages" / "jobstatus_local" / "jars.py"))
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert jars.cache_folder() == Path("/xdg/jobstatus/jars")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert jars.cache_folder() == Path("/home/someone/.cache/jobstatus/jars")
