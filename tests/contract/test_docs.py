"""The documents agree with the code, with each other, and with the tests that they name."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from jobstatus_consumer.operations.actions import MOST_OFFSETS
from jobstatus_producer.settings import _VARIABLES, ProducerSettings
from jobstatus_schemas.protocol import ALL_ENV, KAFKA_ENV_PREFIX
from packaging.requirements import Requirement
from support.command_line import parse
from support.generate_docs import DOCS, PAGES, PRODUCER_MEANING, commands, root
from support.pages import ROOT, WRITTEN_ELSEWHERE, Block, blocks, pages

ALL_BLOCKS = [block for page in pages() for block in blocks(page)]
NOT_RUN = [block for block in ALL_BLOCKS if block.language == "bash" and block.not_run]
LANGUAGES = {"bash", "sh", "python", "text", "yaml", "sql", "json", "toml", "ini"}
OUTSIDE = {"docker", "cp", "export", "git", "helm", "python", "pip", "kubectl", "psql", "twine"}
INSTALLED = ("/opt/jobstatus/bin/", "released/bin/")


def place(block: Block) -> str:
    return f"{block.page}:{block.line}"


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_made_from_the_code_is_what_the_code_makes(name: str) -> None:
    made = PAGES[name]()
    assert (DOCS / name).read_text("utf-8") == made, "run: python -m tests.support.generate_docs"


def test_every_setting_of_the_producer_is_explained() -> None:
    ours = {field for field, _ in _VARIABLES.values()}
    assert set(PRODUCER_MEANING) == ours
    assert ours <= set(ProducerSettings.__dataclass_fields__)


def test_every_setting_that_a_document_names_exists() -> None:
    for page in pages():
        for name in re.findall(r"\bJOBSTATUS_[A-Z_]*[A-Z]\b", page.read_text("utf-8")):
            known = name in ALL_ENV or name.startswith(KAFKA_ENV_PREFIX.rstrip("_"))
            assert known or (page.name, name) == ("deploy.md", "JOBSTATUS_PORT"), f"{page.name}: {name}"


def test_every_flag_that_a_document_names_exists() -> None:
    known = {
        option for context in commands(root()) for parameter in context.command.params for option in parameter.opts
    }
    known |= {"--help", "--version", "--build-arg", "--jobs"}
    for page in pages():
        if page.name in WRITTEN_ELSEWHERE:
            continue
        prose = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.S)
        for flag in re.findall(r"`(--[a-z][a-z-]+)", prose):
            assert flag in known, f"{page.name}: {flag}"


def test_every_test_that_a_document_names_exists() -> None:
    tests = {name for path in (ROOT / "tests").rglob("test_*.py") for name in _functions(path)}
    for page in pages():
        for name in re.findall(r"`(test_\w+)`", page.read_text("utf-8")):
            assert name in tests, f"{page.name}: {name}"


def _functions(path: Path) -> list[str]:
    return re.findall(r"def (test_\w+)", path.read_text("utf-8"))


def test_every_link_leads_somewhere() -> None:
    for page in pages():
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            if "://" not in target and Path(target).name not in WRITTEN_ELSEWHERE:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.S)
    titles = [re.sub(r"[^\w\- ]", "", title.lower()) for title in re.findall(r"^#+ (.*)$", text, re.MULTILINE)]
    return {title.replace(" ", "-") for title in titles}


def test_every_anchor_is_a_heading_of_its_page() -> None:
    found = [
        (page, target, anchor)
        for page in pages()
        for target, anchor in re.findall(r"\]\(([^)#]*)#([^)]+)\)", page.read_text("utf-8"))
        if "://" not in target and Path(target).name not in WRITTEN_ELSEWHERE
    ]
    assert len(found) > 20
    for page, target, anchor in found:
        there = page.parent / target if target else page
        assert there.suffix != ".md" or anchor in anchors(there), f"{page.name}: {target}#{anchor}"


def test_every_block_says_its_language() -> None:
    assert [place(block) for block in ALL_BLOCKS if block.language not in LANGUAGES] == []


@pytest.mark.parametrize("block", NOT_RUN, ids=place)
def test_a_command_that_no_test_can_run_exists_all_the_same(block: Block) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for line in block.text.splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        if words[0] == "make":
            assert {word for word in words[1:] if "=" not in word} <= targets, line
        elif words[0] == "jobstatus":
            assert parse(words[1:]), line
        else:
            assert words[0] in OUTSIDE or words[0].startswith(INSTALLED), line
        for word in words[1:]:
            if word in (".env.example", "infra/docker/Dockerfile") or word.startswith("requirements/"):
                assert (ROOT / word).exists(), line


def test_a_function_for_a_clouds_tokens_is_python_and_has_one_argument() -> None:
    page = (DOCS / "how-to" / "deploy.md").read_text("utf-8")
    texts = re.findall(r"```python\n(.*?)```", page, re.S)
    assert len(texts) == 3
    for text in texts:
        *_, made = ast.parse(text).body
        assert isinstance(made, ast.FunctionDef)
        assert len(made.args.args) == 1


def test_every_dependency_has_its_reason_and_no_reason_is_left_over() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for group in extras.values() for line in group)]
    wanted = {Requirement(line).name for line in lines} - {project["name"]}
    text = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
    assert set(re.findall(r"^- `([^`]+)`: \S", text, re.MULTILINE)) == wanted


def test_the_bound_of_a_replay_from_the_console_is_the_codes() -> None:
    assert f"at most {MOST_OFFSETS:,} offsets" in (DOCS / "how-to" / "change-from-the-console.md").read_text("utf-8")


def test_a_line_holds_one_sentence() -> None:
    for page in pages():
        if page.name in WRITTEN_ELSEWHERE or page.relative_to(ROOT).as_posix().removeprefix("docs/") in PAGES:
            continue
        prose = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.S)
        for line in prose.splitlines():
            if not line.startswith(("|", "<!--")):
                assert not re.search(r"[a-z)`]\. [A-Z]", line), f"{page.name}: {line}"


def test_the_demos_output_in_the_readme_has_the_demos_own_labels() -> None:
    demo = (ROOT / "README.md").read_text("utf-8").split("## The demo")[1].split("```")[1]
    source = (ROOT / "infra" / "demo" / "jobstatus_demo" / "show.py").read_text("utf-8")
    labels = re.findall(r"^(\w[\w ,]+?) +before ", demo, re.MULTILINE)
    assert len(labels) >= 5
    assert [label for label in labels if f'"{label}"' not in source] == []


def test_the_changelog_begins_with_the_version_that_is_being_made() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert f"## [Unreleased] {version}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_ci_runs_what_a_person_runs() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert script.read_text("utf-8").splitlines()[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in script.read_text("utf-8")
    assert script.read_text("utf-8").rstrip().endswith("make test")
