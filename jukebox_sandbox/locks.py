"""Locks that live as long as the processes that hold them, and the end of those who do not let go."""

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

GRACE = 3.0
"""Seconds between the polite signal and the final one."""


def try_lock(path: Path) -> int | None:
    """Take a lock that lives as long as the processes that hold its descriptor.

    Args:
        path: The lock file; it is made when missing and never removed.

    Returns:
        The descriptor, or None if somebody else holds the lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


@contextlib.contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Do what is in the block while no other process does it for the same folder.

    Args:
        folder: The folder, which is there.

    Yields:
        Nothing, as soon as the others are done.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def take_lock(path: Path, patience: float = 2 * GRACE) -> int | None:
    """Wait for a lock; when patience ends, end the holder that the file names.

    Args:
        path: The lock file, which holds its holder's process id.
        patience: Seconds to wait before.

    Returns:
        The descriptor, or None if even that did not free it.
    """
    deadline = time.monotonic() + patience
    ended = False
    while (descriptor := try_lock(path)) is None:
        if time.monotonic() > deadline:
            if ended:
                return None
            ended, deadline = True, time.monotonic() + GRACE
            signal_group(int(path.read_text() or 0), signal.SIGKILL)
        time.sleep(0.05)
    return descriptor


def signal_group(leader: int, number: int) -> None:
    """Send a signal to a process group, which may have ended already.

    Args:
        leader: The process id of the group's first process.
        number: The signal.
    """
    if leader > 1:
        # macOS refuses to signal a group of zombies.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, number)
