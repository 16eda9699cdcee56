"""Tests with a program of Debian are never skipped: where one is missing, a message says what to install."""

from __future__ import annotations

import os
import shutil

import pytest
from support.installed import PROGRAMS, program
from support.parts import MissingPartError


@pytest.mark.parametrize("command", PROGRAMS)
def test_a_program_that_cannot_be_installed_is_named_with_its_package(
    monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    name, package = PROGRAMS[command]
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(MissingPartError, match=f"the tests need {name}.*\n.*apt-get install .*{package}"):
        program(command)
