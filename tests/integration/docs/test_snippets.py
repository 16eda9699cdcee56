"""Every command and snippet of the documents, run in their order against the real servers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from jobstatus_local.kafka import LocalKafka
from support.forked import folder_of_programs
from support.pages import Block, blocks, runnable_pages

SECONDS = 60.0


def environment(folder: Path, kafka: LocalKafka, database_url: str, name: str) -> dict[str, str]:
    """A user's shell: the commands of this checkout, the servers' addresses, names that no other test has."""
    return {
        "PATH": os.pathsep.join((folder_of_programs(), str(Path(sys.executable).parent), os.environ["PATH"])),
        "HOME": str(folder),
        "JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "JOBSTATUS_DATABASE_URL": database_url,
        "JOBSTATUS_TOPIC": name,
        "JOBSTATUS_GROUP_ID": f"group-of-{name}",
        # the log lines of the pages are of a machine in UTC
        "TZ": "UTC",
        # the default port may be another test's
        "JOBSTATUS_HTTP_ADDRESS": "127.0.0.1:0",
        "JOBSTATUS_CONSOLE_ADDRESS": "127.0.0.1:0",
    }


def run(block: Block, folder: Path, env: dict[str, str]) -> str:
    bash = ["bash", "-euo", "pipefail", "-c", block.text]
    command = bash if block.language == "bash" else [sys.executable, "-W", "error", "-c", block.text]
    done = subprocess.run(
        command,
        env=env,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{block.page}:{block.line} exited with {done.returncode}:\n{done.stdout}"
    return done.stdout


def shape(text: str) -> list[str]:
    """The lines without what differs from run to run: numbers, and the length of the rules around them."""
    return [re.sub(r"\d[\d.,:]*", "0", line.rstrip()) for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("page", runnable_pages(), ids=lambda page: page.name)
def test_every_snippet_of_a_page_runs_and_prints_what_the_page_says(
    page: Path, kafka: LocalKafka, database_url: str, group_id: str, tmp_path: Path
) -> None:
    env = environment(tmp_path, kafka, database_url, group_id)
    printed: str | None = None
    for block in blocks(page):
        if block.runs:
            printed = run(block, tmp_path, env)
            printed = printed.replace(f"group-of-{group_id}", "jobstatus").replace(group_id, "job-status")
        elif block.language == "text" and block.follows and printed is not None:
            missing = [line for line in shape(block.text) if line not in shape(printed)]
            assert missing == [], f"{block.page}:{block.line} is not what is printed:\n{printed}"
        else:
            printed = None
