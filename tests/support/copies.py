"""Copies of the checkout, as another person on another machine has it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from support.installing import ROOT, run


def copy_of(source: str, folder: Path) -> None:
    """Copy a file or a folder of the checkout to the same place below `folder`, without what Python compiled."""
    into = folder / source
    into.parent.mkdir(parents=True, exist_ok=True)
    if (ROOT / source).is_dir():
        shutil.copytree(ROOT / source, into, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy2(ROOT / source, into)


def committed(folder: Path, mask: int, modified: int, *sources: str) -> Path:
    """A checkout of one commit in a new folder: of these files, or of all that belong to this checkout.

    Its files lack the rights in `mask` and were changed at `modified`, in seconds; the commit has a fixed time.
    """
    git = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    for source in sources or run(git).splitlines():
        if (ROOT / source).is_file():
            copy_of(source, folder)
            copied = folder / source
            copied.chmod(copied.stat().st_mode & ~mask)
            os.utime(copied, (modified, modified))
    times = {"GIT_AUTHOR_DATE": "1600000000 +0000", "GIT_COMMITTER_DATE": "1600000000 +0000"}
    person = ["-c", "user.name=a", "-c", "user.email=a@example.invalid", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "-A"], [*person, "commit", "-q", "--no-verify", "-m", "a"]):
        run(["git", "-C", folder, *words], env={**os.environ, **times, "GIT_CONFIG_GLOBAL": os.devnull})
    return folder
