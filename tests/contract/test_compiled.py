"""The compiled wheel: what is compiled, that it says so, and that it does what the sources do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from build_image import version
from jobstatus_consumer.telemetry.console_metrics import ConsoleMetrics
from jobstatus_consumer.telemetry.metrics import Metrics
from jobstatus_producer.prometheus import ProducerCollector
from jobstatus_schemas.built import built
from prometheus_client import CollectorRegistry, generate_latest
from support.compiled import HOOK, compiled_modules, with_compiled_codec
from support.copies import committed
from support.installing import REQUIREMENTS, ROOT, install, make_venv, run

PAGE = ROOT / "docs" / "how-to" / "compiled.md"
CODEC_TESTS = (
    "tests/contract/test_golden.py",
    *(f"tests/unit/schemas/test_{name}.py" for name in ("body", "codec", "event", "framing")),
)
ON = {"HATCH_BUILD_HOOK_ENABLE_CUSTOM": "true"}
VERSION = "import sys; sys.argv[1:] = ['--version']; from jobstatus_consumer.cli.main import main; main()"


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process in which the codec is compiled."""
    folder = with_compiled_codec(tmp_path_factory.mktemp("compiled"))
    return {**os.environ, "PYTHONPATH": str(folder), "TESTED_WHEEL": "compiled"}


def test_these_tests_run_on_what_they_are_meant_for() -> None:
    assert built() == os.environ.get("TESTED_WHEEL", "pure")


def test_the_page_names_every_module_that_is_compiled() -> None:
    page = PAGE.read_text("utf-8")
    for module in compiled_modules():
        assert (ROOT / module).is_file()
        assert f"`{module.partition('/')[2]}`" in page


def test_the_compiled_codec_passes_the_codecs_tests(codec: dict[str, str]) -> None:
    options = ["-q", "-n", "0", "-p", "no:randomly"]
    tests = [f"{__file__}::{test_these_tests_run_on_what_they_are_meant_for.__name__}", *CODEC_TESTS]
    assert " passed" in run([sys.executable, "-m", "pytest", *options, *tests], cwd=ROOT, env=codec)


def test_the_version_says_which_is_installed(codec: dict[str, str]) -> None:
    assert run([sys.executable, "-c", VERSION], env=codec) == f"jobstatus, version {version()}, compiled\n"


def test_the_build_metrics_of_every_process_say_it_too() -> None:
    workers = CollectorRegistry()
    workers.register(ProducerCollector())
    for name, registry in (("", Metrics().registry), ("console_", ConsoleMetrics().registry), ("producer_", workers)):
        (line,) = re.findall(rf"^jobstatus_{name}build_info{{.*}} 1\.0$", generate_latest(registry).decode(), re.M)
        assert f'built="{built()}"' in line


def test_a_wheel_from_the_sdist_is_pure_and_is_built_without_a_compiler(tmp_path: Path) -> None:
    checkout = committed(tmp_path / "checkout", 0o022, 1_500_000_000)
    run([sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path], cwd=checkout)
    (sdist,) = tmp_path.glob("*.tar.gz")
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-index", "--no-build-isolation"]
    run([*pip, "-w", tmp_path / "wheel", sdist], env={"PATH": "/nowhere", "HOME": str(tmp_path)})
    assert [path.name for path in (tmp_path / "wheel").iterdir()] == [f"jobstatus-{version()}-py3-none-any.whl"]


def test_where_the_compiler_fails_no_wheel_is_built_and_its_output_is_shown(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "README.md", "LICENSE", HOOK.name):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, **ON}, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode != 0
    assert "the modules were not compiled, so no wheel was built" in done.stderr
    assert "schemas/jobstatus_schemas/event.py" in done.stderr, "the file that is missing here"
    assert not list((tmp_path / "dist").glob("*"))


@pytest.mark.long
@pytest.mark.timeout(2400)
def test_a_commit_gives_the_same_compiled_wheel_in_any_folder_at_any_time(tmp_path: Path) -> None:
    sums = []
    for name, mask, modified in (("first", 0o022, 1_500_000_000), ("second folder", 0o077, 1_700_000_000)):
        checkout, venv = committed(tmp_path / name, mask, modified), Path(sys.prefix)
        old = (f"--assume-old={venv}/.demo", f"--assume-old={venv}/.dev")
        run(["make", "-C", checkout, "dist", f"VENV={venv}", *old], timeout=1200)
        sums.append((checkout / "dist" / "SHA256SUMS").read_text())
    assert len(sums[0].splitlines()) == 3, "two wheels and the sdist"
    assert sums[0] == sums[1]


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_the_compiled_wheel_has_the_sources_too_and_its_command_says_compiled(tmp_path: Path) -> None:
    build: list[str | Path] = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path]
    for more in ({}, ON):
        run(build, cwd=ROOT, env={**os.environ, **more}, timeout=1000)
    compiled, pure = sorted(tmp_path.glob("*.whl"))
    with zipfile.ZipFile(compiled) as ours, zipfile.ZipFile(pure) as other:
        added = sorted(set(ours.namelist()) - set(other.namelist()))
        assert set(other.namelist()) <= set(ours.namelist())
    modules = {name.partition(".")[0] for name in added}
    assert modules == {name.partition("/")[2].removesuffix(".py") for name in compiled_modules()} | {"jobstatus__mypyc"}
    python = make_venv(tmp_path / "venv")
    install(python, "--only-binary=:all:", "--require-hashes", "-r", REQUIREMENTS)
    install(python, "--no-deps", compiled)
    assert run([python.parent / "jobstatus", "--version"], env={}) == f"jobstatus, version {version()}, compiled\n"
