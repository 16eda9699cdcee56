"""`make image` and `make sbom`: which engine they take, what they give it, and what they say if there is none.

The engines here are scripts that note how they are called; tests/integration/docker has a real one.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import build_image
import make_sbom
import pytest
from support.installing import ROOT, run

SCRIPTS = ROOT / "infra" / "docker"


class Bench:
    """A folder that is the whole search path of a script, with engines that work or refuse."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls = folder / "calls"
        git = shutil.which("git")
        assert git is not None
        (folder / "git").symlink_to(git)

    def engine(self, name: str, refusal: str = "") -> None:
        """Make an engine that notes its arguments; with a refusal it fails and says that."""
        ends = f"echo {shlex.quote(refusal)} >&2; exit 1" if refusal else "exit 0"
        script = self.folder / name
        script.write_text(f'#!/bin/sh\necho "$0 $*" >> {shlex.quote(str(self.calls))}\n{ends}\n')
        script.chmod(0o755)

    def script(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(SCRIPTS / name), *words]
        environ = {"PATH": str(self.folder)}
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)

    def called(self) -> list[list[str]]:
        lines = self.calls.read_text().splitlines()
        return [[Path(program).name, *words] for program, *words in map(shlex.split, lines)]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_without_an_engine_each_ones_reason_and_the_next_step_are_said(bench: Bench) -> None:
    bench.engine("docker", "Cannot connect to the Docker daemon")
    done = bench.script("build_image.py")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "no image was built, because no engine works here:",
        "  docker: Cannot connect to the Docker daemon",
        "  podman: not installed",
        "  buildah: not installed",
        "Install or start one of them, then type: make image",
    ]


def test_the_first_engine_that_works_builds_with_the_labels_and_keeps_the_health_check(bench: Bench) -> None:
    bench.engine("docker", "no daemon")
    bench.engine("podman")
    bench.engine("buildah")
    base = f"python:3.11.14-slim-bookworm@sha256:{'0' * 64}"
    done = bench.script(
        *("build_image.py", "--python-image", base, "--build-image", base),
        *("--source", "https://git.example/a", "--", "--no-cache"),
    )
    assert done.returncode == 0
    *_, (engine, command, *words) = bench.called()
    assert (engine, command) == ("podman", "build")
    assert words[:2] == ["--format", "docker"], "its own format has no health check"
    assert words[-2:] == ["--no-cache", "."]
    arguments = [words[place + 1] for place, word in enumerate(words) if word == "--build-arg"]
    assert arguments == [
        f"VERSION={build_image.version()}",
        f"REVISION={build_image.revision()}",
        "SOURCE=https://git.example/a",
        f"PYTHON_IMAGE={base}",
        f"BUILD_IMAGE={base}",
    ]
    assert "pinned by digest" not in done.stderr
    assert "label for the source" not in done.stderr


def test_what_a_release_must_not_lack_is_said(bench: Bench) -> None:
    bench.engine("docker")
    done = bench.script("build_image.py", "--engine", "docker")
    assert done.returncode == 0
    assert "not for a release: the base is not pinned by digest" in done.stderr
    assert "--format" not in str(bench.called())


def test_a_build_that_fails_ends_with_1(bench: Bench) -> None:
    bench.engine("docker", "no space left")
    done = bench.script("build_image.py", "--engine", "docker")
    assert (done.returncode, done.stderr) == (1, "no space left\n")


@pytest.mark.parametrize(
    ("name", "value", "lack"),
    [
        ("PYTHON_IMAGE", "python:3.11.14-slim-bookworm", "the base is not pinned by digest"),
        ("BUILD_IMAGE", "python:3.11.14-bookworm", "the image that compiles is not pinned by digest"),
        ("REVISION", "0123abc-dirty", "some changes are not committed"),
        ("REVISION", "unknown", "the commit is unknown"),
        ("SOURCE", "", "the label for the source is empty"),
    ],
)
def test_each_lack_of_a_release_has_its_line(name: str, value: str, lack: str) -> None:
    images = dict.fromkeys(("PYTHON_IMAGE", "BUILD_IMAGE"), "python:3@sha256:ab")
    whole = {**images, "REVISION": "0123abc", "SOURCE": "https://git.example/a"}
    assert build_image.unlike_a_release(whole) == []
    (line,) = build_image.unlike_a_release({**whole, name: value})
    assert lack in line


@pytest.mark.parametrize(
    ("remote", "shown"),
    [
        ("https://user:secret@git.example:8443/a/b.git", "https://git.example:8443/a/b"),
        ("https://git.example/a/b", "https://git.example/a/b"),
        ("git@git.example:a/b.git", ""),
        ("/somewhere/here", ""),
        (None, ""),
    ],
)
def test_the_label_of_the_source_holds_no_login_and_no_path_of_a_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remote: str | None, shown: str
) -> None:
    run(["git", "init", "-q", tmp_path])
    if remote is not None:
        run(["git", "-C", tmp_path, "remote", "add", "origin", remote])
    monkeypatch.setattr(build_image, "ROOT", tmp_path)
    assert build_image.source() == shown


def test_the_label_of_the_revision_says_if_something_is_not_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_image, "ROOT", tmp_path)
    assert build_image.revision() == "unknown"
    run(["git", "init", "-q", tmp_path])
    person = ["-c", "user.name=a", "-c", "user.email=a@example.invalid", "-c", "commit.gpgsign=false"]
    run(["git", "-C", tmp_path, *person, "commit", "-q", "--allow-empty", "-m", "a"])
    commit = run(["git", "-C", tmp_path, "rev-parse", "HEAD"]).strip()
    assert build_image.revision() == commit
    (tmp_path / "new").touch()
    assert build_image.revision() == f"{commit}-dirty"


def test_a_bill_of_what_is_not_there_is_refused_with_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bench: Bench
) -> None:
    monkeypatch.setattr(make_sbom, "DIST", tmp_path)
    with pytest.raises(make_sbom.MissingError, match="type: make dist"):
        make_sbom.of_wheel(tmp_path / "bill.json")
    bench.engine("buildah", "no such image")
    monkeypatch.setenv("PATH", str(bench.folder))
    with pytest.raises(make_sbom.MissingError, match=r"buildah cannot save a:b:\n  no such image\ntype: make image"):
        make_sbom.of_image("buildah", "a:b", tmp_path / "bill.json")
    os.unlink(bench.folder / "buildah")
    with pytest.raises(make_sbom.MissingError, match="no bill of the image was written, because no engine works here"):
        make_sbom.of_image(None, "a:b", tmp_path / "bill.json")


def test_a_program_that_fails_ends_the_bills_with_a_line_for_each_and_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(make_sbom, "DIST", tmp_path)
    # pip refuses a list of requirements that is not there
    monkeypatch.setattr(make_sbom, "ROOT", tmp_path)
    (tmp_path / f"jobstatus-{build_image.version()}-py3-none-any.whl").touch()
    bench.engine("buildah", "no such image")
    monkeypatch.setattr(sys, "argv", ["make_sbom.py", "--engine", "buildah"])
    monkeypatch.setenv("PATH", str(bench.folder))
    assert make_sbom.main() == 1
    said = capsys.readouterr().err
    assert f"no bill of the wheel was written: {Path(sys.executable).name} ended with 1, for the reason above" in said
    assert "no bill of the image was written: buildah cannot save" in said
