"""Pods: what a step runs in, its own folder, environment and process. Those of the next steps are made ahead."""

import ast
import asyncio
import contextlib
import functools
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

from jukebox_sandbox.errors import SandboxError
from jukebox_sandbox.pipeline_server.runner import environment
from jukebox_sandbox.pipeline_server.runner.packages import declared, guard_folder
from jukebox_sandbox.pipeline_server.runner.processes import Processes, Started
from jukebox_sandbox.state import Sandbox

AHEAD = 5
"""How many pods wait for their steps at most, of all runs."""


@dataclass(frozen=True)
class Need:
    """What a step needs of its pod.

    Attributes:
        step: The step's name, for messages.
        command: The command of its container.
        variables: The variables that the pipeline gives it.
    """

    step: str
    command: list[str]
    variables: dict[str, str]


@dataclass(frozen=True)
class Pod:
    """What a step runs in.

    Attributes:
        folder: Its own folder, which goes with it.
        need: What it was made for.
        started: Its process.
    """

    folder: Path
    need: Need
    started: Started


class Pods:
    """Makes pods, and ends them.

    While a step runs, the pods of the next ones are made, and import what their steps' source imports: on a laptop
    that takes longer than most steps' work.

    Args:
        sandbox: Whose token steps get.
        variables: What every step has in its environment.
        folder: Holds ``scratch``, ``guards`` and what is the same for all steps.
        processes: The processes of steps.
    """

    def __init__(self, sandbox: Sandbox, variables: dict[str, str], folder: Path, processes: Processes) -> None:
        self.sandbox = sandbox
        self.variables = variables
        self.folder = folder
        self.processes = processes
        self._ahead: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._made: dict[tuple[str, str], Pod] = {}
        self._importing = asyncio.Lock()

    async def create(self, need: Need, imports: tuple[str, ...] = ()) -> Pod:
        """Make a pod.

        Args:
            need: What its step needs.
            imports: The import statements to begin with.

        Returns:
            The pod, whose process waits for its step.

        Raises:
            SandboxError: If the command installs what is not the name of a package.
            OSError: If the pod's folder cannot be made.
        """
        folder = self.folder / "scratch" / uuid.uuid4().hex
        try:
            for name in ("home", "tmp", "outputs", "mounts"):
                (folder / name).mkdir(parents=True, mode=0o700)
            guard = guard_folder(self.folder / "guards", declared(need.step, need.command))
            values = environment.container_environment(folder, guard, self.folder)
            values |= self.variables | environment.service_token(self.sandbox, folder) | need.variables
            started = await self.processes.begin({"environment": values, "folder": str(folder), "imports": imports})
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return Pod(folder, need, started)

    def wants(self, run_id: str, name: str) -> bool:
        """Whether one more pod may be made ahead, and the pod of this name is not yet."""
        return len(self._ahead) < AHEAD and (run_id, name) not in self._ahead

    def create_ahead(self, run_id: str, name: str, need: Need) -> None:
        """Begin to make the pod of a step whose turn comes soon.

        Args:
            run_id: The run.
            name: The pod's name.
            need: What its step needs.
        """
        self._ahead[run_id, name] = asyncio.create_task(self._create_ahead((run_id, name), need))

    async def _create_ahead(self, key: tuple[str, str], need: Need) -> None:
        # One after the other: the steps that run come first.
        async with self._importing:
            with contextlib.suppress(SandboxError, OSError):  # said when the step's turn comes, if it is still so
                self._made[key] = pod = await self.create(need, imports_of(need.command[-1]))
                await pod.started.imported()

    async def take(self, run_id: str, name: str, need: Need) -> Pod:
        """The pod of a step: the one that was made ahead, if it still is what the step needs.

        Args:
            run_id: The run.
            name: The pod's name.
            need: What the step needs.

        Returns:
            The pod, whose process waits for its step.

        Raises:
            SandboxError: If the command installs what is not the name of a package.
            OSError: If the pod's folder cannot be made.
        """
        if pod := await self._taken((run_id, name)):
            if pod.need == need and pod.started.alive:
                return pod
            await self.end(pod)
        return await self.create(need)

    async def end(self, pod: Pod) -> None:
        """End a pod: its process with all that it started, and its folder."""
        await self.processes.end(pod.started)
        await asyncio.to_thread(shutil.rmtree, pod.folder, ignore_errors=True)

    async def end_ahead(self, run_id: str) -> None:
        """End the pods that no step of a run has taken."""
        for key in [key for key in self._ahead if key[0] == run_id]:
            if pod := await self._taken(key):
                await self.end(pod)

    async def _taken(self, key: tuple[str, str]) -> Pod | None:
        """The pod that was made ahead, if it has begun; it need not have imported everything yet."""
        making = self._ahead.pop(key, None)
        if making:
            making.cancel()
            await asyncio.wait([making])
        return self._made.pop(key, None)


@functools.lru_cache(maxsize=256)
def imports_of(source: str) -> tuple[str, ...]:
    """The import statements of a step's source, wherever they are in it, in their order."""
    try:
        nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
    except (SyntaxError, ValueError, RecursionError):
        return ()  # the step itself will say so
    nodes.sort(key=lambda node: (node.lineno, node.col_offset))
    return tuple(dict.fromkeys(ast.unparse(node) for node in nodes if getattr(node, "module", "") != "__future__"))
