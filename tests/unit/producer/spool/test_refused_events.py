"""Refused events wait in the spool until a person takes them out, as the how-to says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from jobstatus_producer.spool import folder as spool_folder
from support.spools import entry
from unit.producer.spool.conftest import OpenBacklog, drained


def test_the_how_to_clears_refused_events_and_nothing_else(
    tmp_path: Path, open_backlog: OpenBacklog, folder: Path
) -> None:
    how_to = Path(__file__).parents[4] / "docs" / "how-to" / "instrument-workers.md"
    (snippet,) = re.findall(
        r"^```python\n([^`]*delete from refused[^`]*)^```$", how_to.read_text("utf-8"), re.MULTILINE
    )
    dead = open_backlog()
    assert dead.accept([entry(1)], in_memory=False)
    assert dead.refuse(entry(2), "too large")
    assert dead.close() == []
    in_use = open_backlog()
    assert in_use.accept([entry(3)], in_memory=False)
    assert in_use.refuse(entry(4), "too large")
    subprocess.run([sys.executable, "-c", snippet], cwd=tmp_path, check=True, timeout=60)
    assert [info.refused for info in spool_folder.inspect(folder)] == [[], []]
    assert drained(in_use) == [1, 3]
    assert in_use.close() == []
    assert os.listdir(folder) == []
