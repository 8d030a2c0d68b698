"""The processes of steps: each serves one step, is started ahead, and takes along all that the step started."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import uuid
from asyncio.subprocess import PIPE, Process
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jukebox_sandbox.locks import signal_group
from jukebox_sandbox.pipeline_server.runner.environment import PASSED_ON

PROGRAM = Path(__file__).with_name("step_process.py")
MARK = "JUKEBOX_STEP"


@dataclass(frozen=True)
class Started:
    """A process that waits for its step, and the mark that all that it starts carries."""

    process: Process
    mark: str

    @property
    def alive(self) -> bool:
        """Whether nobody has ended it."""
        return self.process.returncode is None

    async def imported(self) -> None:
        """Wait until it has imported what its place says, or has ended."""
        assert self.process.stdout
        await self.process.stdout.read()

    async def tell(self, order: dict[str, Any]) -> None:
        """Write a line of JSON to its standard input."""
        assert self.process.stdin
        with contextlib.suppress(ConnectionError):  # its exit code says more
            self.process.stdin.write(json.dumps(order).encode() + b"\n")
            await self.process.stdin.drain()


class Processes:
    """Starts a process for each step; one more is always ready.

    Args:
        folder: Where they start.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._spare: asyncio.Task[Started] | None = None

    def get_ready(self) -> None:
        """Start the next process ahead."""
        if self._spare is None:
            self._spare = asyncio.create_task(self._start())

    async def begin(self, place: dict[str, Any]) -> Started:
        """A process in its place.

        Args:
            place: What `step_process` reads first: environment, folder, imports.

        Returns:
            The process, which waits for its step.
        """
        spare, self._spare = self._spare, None
        started = await (spare or self._start())
        if not started.alive:  # it waited, and somebody ended it
            started = await self._start()
        # After this one has begun, so that the two do not compete for the processor.
        asyncio.get_running_loop().call_later(0.05, self.get_ready)
        try:
            await started.tell(place)
        except asyncio.CancelledError:
            await asyncio.shield(self.end(started))
            raise
        return started

    async def run(self, started: Started, order: dict[str, Any], seconds: float | None = None) -> int:
        """Run a step and wait for it.

        Args:
            started: Its process.
            order: What `step_process` reads then: source, arguments, log.
            seconds: How long it may take.

        Returns:
            The exit code; negative: the signal that ended it.

        Raises:
            TimeoutError: If it took longer.
        """
        await started.tell(order)
        async with asyncio.timeout(seconds):
            return await started.process.wait()

    async def end(self, started: Started) -> None:
        """End a process with all that it started."""
        signal_group(started.process.pid, signal.SIGKILL)
        await started.process.wait()
        if started.process.stdin:
            started.process.stdin.close()
        await asyncio.to_thread(end_marked, started.mark)

    async def stop(self) -> None:
        """End the process that waits."""
        spare, self._spare = self._spare, None
        if spare:
            started = await spare
            signal_group(started.process.pid, signal.SIGKILL)
            await started.process.wait()

    async def _start(self) -> Started:
        mark = uuid.uuid4().hex
        environment = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # nothing is to be imported from the folder of the program
            str(PROGRAM),
            stdin=PIPE,
            stdout=PIPE,
            env=environment | {"PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1", MARK: mark},
            cwd=self.folder,
            start_new_session=True,
        )
        return Started(process, mark)


def end_marked(mark: str) -> None:
    """End what left a step's process group: reparented or detached, it still carries the mark."""
    import psutil

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark:
                process.kill()
