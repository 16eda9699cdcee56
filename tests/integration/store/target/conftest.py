from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from support.own_table import JOBS, TARGET, OwnTable


class MakeOwn(Protocol):
    def __call__(self, ddl: str = JOBS, target: str = TARGET, url: str = "") -> OwnTable:
        """Make the table, read the target file and make our tables."""


@pytest.fixture
def make_own(empty_url: str, tmp_path: Path) -> Iterator[MakeOwn]:
    made: list[OwnTable] = []

    def make(ddl: str = JOBS, target: str = TARGET, url: str = "") -> OwnTable:
        made.append(OwnTable(url or empty_url, tmp_path, ddl, target))
        return made[-1]

    yield make
    for own in made:
        own.close()


@pytest.fixture
def own(make_own: MakeOwn) -> OwnTable:
    """The usual table, with no rows yet."""
    return make_own()
