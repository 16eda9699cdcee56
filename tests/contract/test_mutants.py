"""The list of mutants fits the code, so that a run of them, which takes many minutes, does not end at an old text."""

from __future__ import annotations

import mutants
import pytest
from support.installing import ROOT

EVERY = list(mutants.mutants((ROOT / "tests" / "mutants.txt").read_text("utf-8")))


@pytest.mark.parametrize("mutant", EVERY, ids=lambda mutant: mutant.name)
def test_a_mutants_text_is_in_its_file_exactly_once(mutant: mutants.Mutant) -> None:
    assert (ROOT / mutant.file).read_text("utf-8").count(mutant.old) == 1
    assert mutant.new != mutant.old


def test_no_two_mutants_have_one_name() -> None:
    names = [mutant.name for mutant in EVERY]
    assert sorted(set(names)) == sorted(names)
