"""A guard runs one command and takes it along when its owner dies, whatever killed the owner.

The owner holds the other end of the guard's standard input and never writes: the end of that file is the sign,
on Linux and macOS alike. Run as ``python -m jukebox_sandbox.guard [--lock FILE] -- COMMAND …``.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from jukebox_sandbox.locks import GRACE, signal_group, take_lock

PACKAGES = Path(__file__).resolve().parents[1]
"""Where this package is imported from."""

MARK = "JUKEBOX_GUARD"
"""Every process below a guard carries it in its environment, so that none can slip away from the group."""


def start(
    command: Sequence[str], environment: Mapping[str, str], log: IO[bytes], folder: Path, lock: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start a command under a guard.

    Args:
        command: The program and its arguments.
        environment: Its environment; it must let the guard import this library.
        log: Takes everything it prints.
        folder: Its working directory.
        lock: Held while any process of the command lives, so that two never share a data folder.

    Returns:
        The guard. Closing its ``stdin`` ends the command; its exit code is the command's.
    """
    locking = ["--lock", str(lock)] if lock else []
    return subprocess.Popen(
        [sys.executable, "-m", __name__, *locking, "--", *command],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=dict(environment),
        cwd=folder,
        start_new_session=True,
    )


def stop(guard: subprocess.Popen[bytes]) -> int:
    """End the command of a guard, politely first.

    Args:
        guard: What :func:`start` returned.

    Returns:
        The exit code.
    """
    if guard.stdin:
        guard.stdin.close()
    return guard.wait()


def _end_marked(mark: str) -> None:
    """End what left the process group: reparented or detached, it still carries the mark."""
    import psutil

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                process.kill()


def _run(command: Sequence[str], lock: Path | None) -> int:
    held: tuple[int, ...] = ()
    if lock:
        descriptor = take_lock(lock)
        if descriptor is None:
            print(f"{lock} is held by another process.", file=sys.stderr)
            return 1
        held = (descriptor,)
    mark = uuid.uuid4().hex
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        pass_fds=held,
        env={**os.environ, MARK: mark},
    )
    if held:
        os.ftruncate(held[0], 0)
        os.write(held[0], str(child.pid).encode())

    def follow() -> None:
        while os.read(0, 64):
            pass
        signal_group(child.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GRACE)
        signal_group(child.pid, signal.SIGKILL)

    threading.Thread(target=follow, daemon=True).start()
    code = child.wait()
    signal_group(child.pid, signal.SIGKILL)
    _end_marked(mark)
    return code if code >= 0 else 128 - code


def main() -> int:
    """Run the command behind ``--``."""
    options, command = sys.argv[1 : sys.argv.index("--")], sys.argv[sys.argv.index("--") + 1 :]
    # Only the lifeline ends a guard. A handler, because an ignored signal would be ignored by the command too.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    return _run(command, Path(options[1]) if options else None)


if __name__ == "__main__":
    sys.exit(main())
