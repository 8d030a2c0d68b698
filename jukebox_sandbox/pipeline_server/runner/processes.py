"""The processes of steps: each serves one step, is started ahead, and takes along all that the step started."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import uuid
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path
from typing import Any

from jukebox_sandbox.locks import signal_group
from jukebox_sandbox.pipeline_server.runner.environment import PASSED_ON

PROGRAM = Path(__file__).with_name("step_process.py")
MARK = "JUKEBOX_STEP"


class Processes:
    """Starts a process for each step; one more is always ready.

    Args:
        folder: Where they start.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._spare: asyncio.Task[tuple[Process, str]] | None = None
        self._soon: set[asyncio.Task[Any]] = set()

    def get_ready(self) -> None:
        """Start the next process ahead."""
        if self._spare is None:
            self._spare = asyncio.create_task(self._start())

    async def run(self, order: dict[str, Any], seconds: float | None = None) -> int:
        """Run a step and wait for it; cancelled, end it with all its processes.

        Args:
            order: What `step_process` reads.
            seconds: How long it may take.

        Returns:
            The exit code; negative: the signal that ended it.

        Raises:
            TimeoutError: If it took longer.
        """
        spare, self._spare = self._spare, None
        process, mark = await (spare or self._start())
        if process.returncode is not None:  # it waited, and somebody ended it
            process, mark = await self._start()
        # After this step has begun, so that the two do not compete for the processor.
        asyncio.get_running_loop().call_later(0.05, self.get_ready)
        try:
            assert process.stdin
            process.stdin.write(json.dumps(order).encode() + b"\n")
            with contextlib.suppress(ConnectionError):  # its exit code says more
                await process.stdin.drain()
            async with asyncio.timeout(seconds):
                return await process.wait()
        finally:
            signal_group(process.pid, signal.SIGKILL)
            await asyncio.shield(self._end(process, mark))

    async def stop(self) -> None:
        """End the process that waits."""
        spare, self._spare = self._spare, None
        if spare:
            process, _ = await spare
            signal_group(process.pid, signal.SIGKILL)
            await process.wait()

    async def _start(self) -> tuple[Process, str]:
        mark = uuid.uuid4().hex
        environment = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # the folder of the program is no place to import from
            str(PROGRAM),
            stdin=PIPE,
            stdout=DEVNULL,
            env=environment | {"PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1", MARK: mark},
            cwd=self.folder,
            start_new_session=True,
        )
        return process, mark

    async def _end(self, process: Process, mark: str) -> None:
        await process.wait()
        if process.stdin:
            process.stdin.close()
        await asyncio.to_thread(end_marked, mark)


def end_marked(mark: str) -> None:
    """End what left a step's process group: reparented or detached, it still carries the mark."""
    import psutil

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark:
                process.kill()
