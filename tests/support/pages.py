"""The documents as blocks of code that a test can run.

A fenced block in `bash` or `python` is run. A comment before its fence says otherwise, and why:
`<!-- not run: there is no Docker engine here -->`. A `text` block right after a block that is run is its output.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
WRITTEN_ELSEWHERE = ("instrument-workers.md", "replay.md", "dead-letters.md")
"""Pages whose snippets other tests run."""
RUN_ELSEWHERE = (*WRITTEN_ELSEWHERE, "your-own-table.md", "alerts.md", "schema-registry.md", "scale.md")
"""The same, and pages that keep to the rules for every page."""

_BLOCK = re.compile(r"(?:<!-- not run: (?P<why>[^\n]+) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.S | re.M)


class Block(NamedTuple):
    """A fenced block: where it stands, in which language, and why it is not run (empty where it is)."""

    page: str
    line: int
    language: str
    text: str
    not_run: str
    follows: bool
    """directly after the block before it, blank lines apart"""

    @property
    def runs(self) -> bool:
        return self.language in ("bash", "python") and not self.not_run


def pages() -> list[Path]:
    """Every document of the checkout."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text("utf-8")
    end = 0
    for match in _BLOCK.finditer(text):
        line = text[: match.start()].count("\n") + 1
        follows = end > 0 and not text[end : match.start()].strip()
        end = match.end()
        name = page.relative_to(ROOT).as_posix()
        yield Block(name, line, match["language"], match["text"], match["why"] or "", follows)


def runnable_pages() -> list[Path]:
    """The pages with something to run, those apart whose tests stand elsewhere."""
    return [page for page in pages() if page.name not in RUN_ELSEWHERE and any(block.runs for block in blocks(page))]
