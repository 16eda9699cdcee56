"""Each room of the consumer shows in its `__init__` what other rooms may use."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2] / "consumer" / "jobstatus_consumer"
ROOMS = {"capacity", "console", "core", "kafka", "store", "stream", "operations"}


def _imports(path: Path) -> Iterator[tuple[int, list[str]]]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.lineno, node.module.split(".")


def test_no_room_reaches_into_the_modules_of_another() -> None:
    found = []
    for path in ROOT.rglob("*.py"):
        own = path.relative_to(ROOT).parts[0]
        for line, (package, *inside) in _imports(path):
            if package == ROOT.name and len(inside) > 1 and inside[0] in ROOMS - {own}:
                found.append(f"{path.relative_to(ROOT)}:{line} imports from {'.'.join(inside)}")
    assert found == [], "import it from the room, and add it to the room's __init__"


def test_a_room_shows_only_what_it_has() -> None:
    for room in ROOMS:
        tree = ast.parse((ROOT / room / "__init__.py").read_text("utf-8"))
        names = [node for node in tree.body if isinstance(node, ast.Assign)]
        assert len(names) == 1, f"{room}/__init__.py has no __all__"
