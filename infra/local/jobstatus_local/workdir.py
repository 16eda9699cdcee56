"""The folder of a server's files: a temporary one that is removed, or the caller's own, which stays."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path


class Workdir:
    """A new temporary folder, removed by `close`; or the caller's `path`, made if absent and never removed."""

    def __init__(self, path: Path | None, kind: str, parent: Path | None = None) -> None:
        self.is_ours = path is None
        if path is None:
            self.path = Path(tempfile.mkdtemp(prefix=f"jobstatus-{kind}-", dir=parent))
        else:
            self.path = path.absolute()
            self.path.mkdir(parents=True, exist_ok=True)

    @property
    def to_remove(self) -> list[Path]:
        """The folders that the supervisor removes if we are killed."""
        return [self.path] if self.is_ours else []

    def close(self, keep_logs: bool = False) -> None:
        """Remove a temporary folder. With `keep_logs` its logs stay, because the error of a failed start names them."""
        if not self.is_ours:
            return
        if keep_logs:
            for entry in self.path.iterdir():
                if entry.is_dir():
                    shutil.rmtree(entry, ignore_errors=True)
                elif entry.suffix != ".log" or not entry.stat().st_size:
                    entry.unlink()
            if not any(self.path.iterdir()):
                self.path.rmdir()
        else:
            shutil.rmtree(self.path, ignore_errors=True)
