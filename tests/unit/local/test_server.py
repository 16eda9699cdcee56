from __future__ import annotations

from pathlib import Path

import pytest
from jobstatus_local.errors import LocalServerError
from jobstatus_local.server import LocalServer


class Fake(LocalServer):
    """Fails each start that has a line to log left, and notes its ports and folders."""

    def __init__(self, lines: list[str], workdir: Path | None = None) -> None:
        super().__init__("fake", workdir)
        self.lines = lines
        self.ports: list[int] = []
        self.folders: list[Path] = []
        self.runs = 0

    def stop(self) -> None:
        pass

    def _open(self) -> None:
        self._open_workdir()
        self.ports.append(self._lease_port())
        self.folders.append(self.workdir)
        (self.workdir / "data").mkdir()
        (self.workdir / "password").write_text("secret")

    def _run(self) -> None:
        self.runs += 1
        if self.lines:
            log = self.workdir / "fake.log"
            log.write_text(self.lines.pop(0) + "\n" * 100)
            raise LocalServerError("fake ended", log)


def test_a_port_taken_in_between_is_worth_two_more_tries() -> None:
    with Fake(["java.net.BindException: Address already in use"] * 2) as server:
        assert server.runs == 3
        assert len(set(server.ports)) >= 2
        assert [folder.exists() for folder in server.folders] == [False, False, True]
    assert not server.folders[-1].exists()


@pytest.mark.parametrize(("lines", "runs"), [(["Address already in use"] * 5, 3), (["No space left on device"] * 5, 1)])
def test_a_start_that_fails_for_good_leaves_its_log_alone(lines: list[str], runs: int) -> None:
    server = Fake(lines)
    with pytest.raises(LocalServerError, match=r"fake ended\nthe last lines of its log"):
        server.start()
    assert server.runs == runs
    *earlier, last = server.folders
    assert not any(folder.exists() for folder in earlier)
    assert [entry.name for entry in last.iterdir()] == ["fake.log"]
    (last / "fake.log").unlink()
    last.rmdir()


def test_a_start_that_fails_without_a_log_leaves_nothing() -> None:
    server = Fake([])

    def fail() -> None:
        raise KeyboardInterrupt

    server._run = fail  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        server.start()
    assert not server.folders[0].exists()


def test_a_folder_of_the_callers_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(LocalServerError):
        Fake(["bad luck"], tmp_path).start()
    assert {entry.name for entry in tmp_path.iterdir()} == {"data", "password", "fake.log"}


def test_a_server_that_is_closed_says_so() -> None:
    server = Fake([])
    with server:
        pass
    server.close()
    with pytest.raises(LocalServerError, match="this Fake is not running"):
        _ = server.supervisor
