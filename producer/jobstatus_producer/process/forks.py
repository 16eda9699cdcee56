"""Forks: a child begins anew, with no lock that a thread of its parent held.

Three hooks run around each fork, in the thread that forks. Before it they wait for SQLite and block SIGTERM; in the
parent and in the child they undo that. A fork may also come from a signal's handler, in the middle of another fork.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Final

from jobstatus_producer.process import os_fork, signals
from jobstatus_producer.process.dns_after_fork import LOOKUP_CHECK
from jobstatus_producer.process.state import STATE, Fork
from jobstatus_producer.spool.lock import SQLITE_LOCK, reset_sqlite_lock

SQLITE_LOCK_SECONDS: Final = 1.0
"""A fork waits for SQLite no longer than this: a disk that hangs must not stop an application from forking."""


def install_hooks() -> None:
    """Have every fork of this process call the hooks of this module. Python cannot remove them again."""
    if not STATE.fork_hooks_installed:
        STATE.fork_hooks_installed = True
        os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)


def _before() -> None:
    thread = threading.get_ident()
    mask = None
    # the outermost fork of a thread restores the mask; where SIGTERM is not ours, the mask is the application's alone
    if not STATE.forks.get(thread) and signals.is_installed():
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    # SQLite has mutexes for the whole process; one that another thread holds now would stay locked in the child
    has_sqlite_lock = SQLITE_LOCK.acquire(timeout=SQLITE_LOCK_SECONDS)
    # what was acquired is noted before anything else can go wrong, and from here `signals.handle` waits for the end
    STATE.forks.setdefault(thread, []).append(Fork(mask, has_sqlite_lock))
    if mask is not None:
        # the child could not handle a SIGTERM before its hook has run: it would be forgotten, or left to threads that
        # the child does not have
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _after_in_parent() -> None:
    forks = STATE.forks.get(threading.get_ident())
    if not forks:
        # a handler raised before the fork was noted: nothing was acquired and nothing blocked
        return
    try:
        if forks[-1].has_sqlite_lock:
            SQLITE_LOCK.release()
        if forks[-1].mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, forks[-1].mask)
    finally:
        # also where the handler of a signal that was blocked until now raises
        forks.pop()


def _after_in_child() -> None:
    forks = STATE.forks.get(threading.get_ident(), [])
    if forks and forks[-1].has_sqlite_lock:
        SQLITE_LOCK.release()
    else:
        # a thread that the child does not have may hold it
        reset_sqlite_lock()
    LOOKUP_CHECK.after_fork()
    os_fork.after_fork()
    # another thread of the parent may have been handling a signal
    STATE.interrupted_frames.clear()
    try:
        for producer in STATE.producers:
            producer.after_fork()
        # the outermost fork's: a signal's handler may have forked in the middle of it
        if forks and forks[0].mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, forks[0].mask)
    finally:
        STATE.forks.clear()
