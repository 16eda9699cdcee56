"""docs/design.md says of the rule and of folding what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from jobstatus_consumer.core.fold import merges
from jobstatus_consumer.core.rule import advance, decide
from support.examples import FoldExample, RuleExample, fold_examples, rule_examples

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "design.md").read_text("utf-8")
ROOMS = TEXT.split("## The rooms")[1].split("\n## ")[0]
PACKAGES = {
    "schemas": ROOT / "schemas" / "jobstatus_schemas",
    "producer": ROOT / "producer" / "jobstatus_producer",
    "consumer": ROOT / "consumer" / "jobstatus_consumer",
    "reader": ROOT / "consumer" / "jobstatus_reader",
}
NAMED = re.compile(r"`([\w./]+(?:\.py|\.sql|/))`")


@pytest.mark.parametrize("example", rule_examples(), ids=lambda example: example.clause)
def test_an_example_of_the_rule_is_what_the_rule_does(example: RuleExample) -> None:
    assert decide(example.before, example.event) == example.outcome
    assert advance(example.before, example.event) == example.after


def test_every_clause_and_every_outcome_has_an_example() -> None:
    examples = rule_examples()
    assert {example.clause[0] for example in examples} >= {"1", "2", "3", "4"}
    outcomes = {example.outcome for example in examples}
    assert outcomes == {"applied", "redelivered", "lower_attempt", "late", "other_log"}


@pytest.mark.parametrize("example", fold_examples(), ids=lambda example: example.why)
def test_an_example_of_folding_is_what_folding_does(example: FoldExample) -> None:
    assert merges(example.first, example.second) is example.merged


@pytest.mark.parametrize("package", PACKAGES)
def test_the_rooms_name_every_folder_and_every_module_on_the_ground_floor(package: str) -> None:
    folder = PACKAGES[package]
    modules = {path.name for path in folder.glob("*.py")} - {"__init__.py"}
    rooms = {f"{path.parent.name}/" for path in folder.glob("*/__init__.py")}
    missing = {name for name in modules | rooms if f"`{name}`" not in ROOMS}
    assert missing == set(), "each wants a place in docs/design.md, under The rooms"


def test_what_the_page_names_is_there() -> None:
    names = set(NAMED.findall(TEXT))
    assert len(names) > 40
    bases = [
        ROOT,
        *PACKAGES.values(),
        *(room.parent for base in PACKAGES.values() for room in base.glob("*/__init__.py")),
    ]
    assert {name for name in names if not any((base / name).exists() for base in bases)} == set()
