"""The Dockerfile keeps what the pages promise of the image. Its test on an engine is in tests/integration/docker."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sysconfig
import tomllib
from pathlib import Path

import pytest
from jobstatus_consumer.config import load_settings
from support.command_line import parse
from support.docker_files import DOCKERFILE, final_stage, image_stages, stages
from support.installing import ROOT

LABEL = "org.opencontainers.image."
LOCKED = ("requirements/build.txt", "requirements/consumer.txt")


def test_a_dockerfile_is_read_into_its_stages() -> None:
    read = stages('# a\nARG A=1\nFROM a AS b\nRUN x \\\n  # why\n  && y\nFROM c\nENV A="b c" \\\n    D=e\nARG F\n')
    assert [stage.base for stage in read] == ["", "a AS b", "c"]
    assert read[1].instructions == [("RUN", "x  && y")]
    assert read[2].pairs("ENV") == {"A": "b c", "D": "e"}
    assert read[2].pairs("ARG") == {"F": ""}


def test_the_base_is_one_build_argument_that_takes_a_digest() -> None:
    before, *built = image_stages()
    assert [stage.base for stage in built] == ["${BUILD_IMAGE} AS build", "${PYTHON_IMAGE}"]
    assert before.pairs("ARG").keys() == {"PYTHON_IMAGE", "BUILD_IMAGE"}
    assert re.fullmatch(r"python:\d+\.\d+\.\d+-slim-\w+", before.pairs("ARG")["PYTHON_IMAGE"])


def test_the_image_that_compiles_has_the_same_python_on_the_same_debian() -> None:
    images = image_stages()[0].pairs("ARG")
    assert images["BUILD_IMAGE"] == images["PYTHON_IMAGE"].replace("-slim", "")


def test_the_image_has_the_compiled_wheel() -> None:
    (build,) = (line for line in image_stages()[1].every("RUN") if "hatchling build" in line)
    assert build.startswith("HATCH_BUILD_HOOK_ENABLE_CUSTOM=true ")


def test_the_labels_name_version_revision_source_licences_and_base() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    labels, arguments = final_stage().pairs("LABEL"), final_stage().pairs("ARG")
    assert {name.removeprefix(LABEL): value for name, value in labels.items()} == {
        "title": project["name"],
        "description": "Job status updates through Kafka into PostgreSQL",
        "version": "${VERSION}",
        "revision": "${REVISION}",
        "source": "${SOURCE}",
        "licenses": project["license"],
        "base.name": "${PYTHON_IMAGE}",
    }
    assert arguments == {"PYTHON_IMAGE": "", "VERSION": project["version"], "REVISION": "unknown", "SOURCE": ""}


def test_the_image_runs_the_consumer_as_an_account_without_rights() -> None:
    final = final_stage()
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", final.only("USER"))
    assert final.only("STOPSIGNAL") == "SIGTERM"
    assert json.loads(final.only("ENTRYPOINT")) == ["jobstatus"]
    assert parse(json.loads(final.only("CMD"))).name == "consume"
    words = [word for word, _ in final.instructions]
    assert "RUN" not in words[words.index("USER") :], "nothing runs as that account while the image is built"


def test_the_images_settings_exist() -> None:
    given = {name: value for name, value in final_stage().pairs("ENV").items() if name.startswith("JOBSTATUS_")}
    assert load_settings(given).http_address == "0.0.0.0:9464"


def test_the_image_keeps_one_folder_of_what_was_built() -> None:
    assert final_stage().every("COPY") == ["--from=build /opt/jobstatus /opt/jobstatus"]


def test_the_image_is_given_every_file_that_its_steps_copy_and_no_other() -> None:
    steps = [shlex.split(step) for step in image_stages()[1].every("COPY")]
    copied = {source for *sources, _ in steps for source in sources}
    let_through = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    assert {source for source in copied if not (ROOT / source).exists()} == set()
    assert copied == let_through
    assert not {Path(source).parts[0] for source in copied} & {"infra", "tests", "docs"}


def test_the_image_installs_what_is_locked_and_fetches_nothing_else() -> None:
    steps = [part.strip() for line in image_stages()[1].every("RUN") for part in line.split("&&")]
    installs = [shlex.split(step.partition(" install ")[2]) for step in steps if " -m pip " in step]
    *locked, ours = installs
    assert [options[-1] for options in locked] == list(LOCKED)
    for options in locked:
        assert {"--require-hashes", "--only-binary=:all:"} <= set(options)
    assert {"--no-index", "--no-deps"} <= set(ours)


def test_only_the_environment_that_builds_has_pip() -> None:
    steps = [part.strip() for line in image_stages()[1].every("RUN") for part in line.split("&&")]
    made = [step for step in steps if " -m venv " in step]
    assert made == ["python -m venv /build", "python -m venv --without-pip /opt/jobstatus"]


@pytest.mark.parametrize("path", [DOCKERFILE], ids=lambda path: path.name)
def test_hadolint_has_no_complaint(path: Path) -> None:
    hadolint = Path(sysconfig.get_path("scripts")) / "hadolint"
    done = subprocess.run([hadolint, path], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
