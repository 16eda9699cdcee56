"""A spool folder that other users can write to: their files are not followed, not overwritten and not taken over."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from types import CodeType

import pytest
from jobstatus_producer.spool import folder as spool_folder
from jobstatus_producer.spool.database import create
from jobstatus_producer.spool.file import SpoolFile
from jobstatus_producer.spool.lock import lock_of
from jobstatus_producer.spool.salvage import salvage
from support.spools import TOPIC, damage, entry, in_the_file, leave_behind, observed, open_again

GROUP, OTHERS, STICKY = 0o770, 0o777, 0o1777


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def modes_during(action: Callable[[], object], folder: Path, name: str) -> set[str]:
    """The permissions of the files whose names contain `name`, at every place of `action`."""
    seen: set[str] = set()

    def look(_code: CodeType) -> None:
        for file in os.listdir(folder):
            if name in file:
                seen.add(oct(os.stat(folder / file).st_mode & 0o777))

    with umask(0o022), observed(look):
        action()
    return seen


def test_a_copy_that_is_salvaged_is_for_its_owner_alone_from_the_start(tmp_path: Path) -> None:
    path = leave_behind(tmp_path, [entry(seq, message="m" * 300) for seq in range(1, 50)])
    damage(path, page=-1)
    assert modes_during(partial(salvage, path), tmp_path, ".salvage") == {"0o600"}


def test_a_new_spool_is_for_its_owner_alone_from_the_start(tmp_path: Path) -> None:
    assert modes_during(partial(create, tmp_path / "a.spool"), tmp_path, "a.") == {"0o600"}


@pytest.mark.parametrize("suffix", [".salvage", ".salvage-wal"])
def test_a_link_in_place_of_the_salvaged_copy_is_not_followed(tmp_path: Path, suffix: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    path = leave_behind(tmp_path, [entry(seq, message="m" * 300) for seq in range(1, 50)])
    with closing(open_again(path)) as in_use:
        in_use.add([entry(99)])
        path.with_suffix(suffix).symlink_to(victim)
        assert len(salvage(path)) == 50
    assert victim.read_text() == "mine"


class AnotherUsers(SpoolFile):
    """The own spool of a process that runs as another user."""

    @property
    def owner(self) -> int:
        return super().owner + 1


@contextmanager
def own_spool(folder: Path, kind: type[SpoolFile] = SpoolFile) -> Iterator[SpoolFile]:
    path = spool_folder.open_own(folder, topic=TOPIC, durable=False)
    path.release()
    lock = lock_of(path.path)
    assert lock.take()
    own = kind(path.path, lock)
    yield own
    own.close()


def test_a_spool_of_another_user_is_left_alone_with_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    left = leave_behind(tmp_path, [entry(1)])
    with own_spool(tmp_path, AnotherUsers) as own:
        assert spool_folder.take_over(tmp_path, own, topic=TOPIC, durable=False) == []
    assert in_the_file(left) == [1]
    (line,) = caplog.messages
    user = left.stat().st_uid
    assert line.startswith(
        f"the spool {left} is left alone: it belongs to user {user}, and the spools of this process to"
    )
    assert "`jobstatus spool drain`" in line


def test_a_spool_of_another_user_gets_no_lock_file_of_this_one(tmp_path: Path) -> None:
    left = leave_behind(tmp_path, [entry(1)])
    left.with_suffix(".lock").unlink()
    with own_spool(tmp_path, AnotherUsers) as own:
        spool_folder.take_over(tmp_path, own, topic=TOPIC, durable=False)
    assert not left.with_suffix(".lock").exists()


def test_inspecting_says_whose_a_spool_is(tmp_path: Path) -> None:
    leave_behind(tmp_path, [entry(1)])
    assert [info.is_foreign for info in spool_folder.inspect(tmp_path)] == [False]
    (info,) = spool_folder.inspect(tmp_path, user=os.geteuid() + 1)
    assert (info.is_foreign, info.events, info.trouble) == (True, 1, None)


def test_a_link_in_place_of_a_spool_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    elsewhere = leave_behind(tmp_path / "elsewhere", [entry(1)])
    folder = tmp_path / "spool"
    with own_spool(folder) as own:
        (folder / elsewhere.name).symlink_to(elsewhere)
        assert spool_folder.take_over(folder, own, topic=TOPIC, durable=False) == []
    assert in_the_file(elsewhere) == [1]
    assert "is left alone: it is a symbolic link" in caplog.text


@pytest.mark.parametrize("mode", [GROUP, OTHERS], ids=oct)
def test_a_folder_that_others_can_write_to_is_warned_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int
) -> None:
    tmp_path.chmod(mode)
    for _ in range(3):
        with own_spool(tmp_path):
            pass
    (line,) = caplog.messages
    assert line.startswith(f"other users can write to the spool folder {tmp_path}, ")
    assert "`chmod go-w`" in line


@pytest.mark.parametrize("mode", [0o700, 0o755, STICKY], ids=oct)
def test_a_folder_in_which_others_cannot_touch_a_spool_is_not_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int
) -> None:
    tmp_path.chmod(mode)
    with own_spool(tmp_path):
        pass
    assert caplog.messages == []
