"""Tests with a real PgBouncer or Redis are never skipped: where one is missing, a message says what to install."""

from __future__ import annotations

import os
import shutil

import pytest
from support.installed import program
from support.parts import MissingPartError


def test_a_program_that_cannot_be_installed_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(MissingPartError, match=r"the tests need Redis.*\n.*apt-get install redis-server"):
        program("redis-server", "Redis", "redis-server")
