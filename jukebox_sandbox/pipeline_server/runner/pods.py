"""Pods: what a step runs in, its own folder, environment and process. Those of the next steps are made ahead."""

import ast
import asyncio
import contextlib
import functools
import shutil
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jukebox_sandbox.errors import SandboxError
from jukebox_sandbox.pipeline_server.runner import environment
from jukebox_sandbox.pipeline_server.runner.packages import declared, guard_folder
from jukebox_sandbox.pipeline_server.runner.processes import ALL, Processes, Started
from jukebox_sandbox.state import Sandbox

AHEAD = 5
"""How many pods wait for their steps at most, of all runs."""
KEPT = 16
"""How many pods wait at most for a run that is not there yet."""
REST = 5.0
"""Seconds after the last run until pods for the next one are made: what comes of that run goes first."""
KEEP = 300.0
"""Seconds that they then wait."""


@dataclass(frozen=True)
class Need:
    """What a step needs of its pod, and every run of it does.

    Attributes:
        step: The step's name, for messages.
        command: The command of its container.
        variables: The variables that its container says itself.
    """

    step: str
    command: tuple[str, ...]
    variables: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, step: str, container: dict[str, Any]) -> "Need":
        """The need of a step's container."""
        return cls(step, tuple(container["command"]), tuple(environment.own_environment(container).items()))


@dataclass(frozen=True)
class Pod:
    """What a step runs in.

    Attributes:
        folder: Its own folder, which goes with it.
        values: The environment that its process began with.
        variables: What the pipeline gave of it.
        started: Its process.
    """

    folder: Path
    values: dict[str, str]
    variables: dict[str, str]
    started: Started


class Pods:
    """Makes pods, and ends them.

    While a step runs, the pods of the next ones are made, and import what their steps' source imports: on a laptop
    that takes longer than most steps' work. After a run, pods for the next one are made and kept for a while: no secret
    and nothing of a run is in them. A process serves one step: numpy, pyarrow and onnxruntime leave threads when they
    are imported, which a fork would not have.

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
        self._recent: dict[Need, bool] = {}
        """What steps needed, the newest last, and whether to keep a pod for it."""
        self._kept: dict[Need, Pod] = {}
        self._keeping: asyncio.Task[None] | None = None

    async def create(self, need: Need, variables: dict[str, str], imports: tuple[str, ...] = ()) -> Pod:
        """Make a pod.

        Args:
            need: What its step needs.
            variables: The variables that the pipeline gives it, as far as they are known.
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
            guard = guard_folder(self.folder / "guards", declared(need.step, list(need.command)))
            values = environment.container_environment(folder, guard, self.folder)
            values |= self.variables | dict(need.variables) | variables
            started = await self.processes.begin({"environment": values, "folder": str(folder), "imports": imports})
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return Pod(folder, values, variables, started)

    def wants(self, run_id: str, name: str) -> bool:
        """Whether one more pod may be made ahead, and the pod of this name is not yet."""
        return len(self._ahead) < AHEAD and (run_id, name) not in self._ahead

    def create_ahead(self, run_id: str, name: str, need: Need, variables: dict[str, str]) -> None:
        """Begin to make the pod of a step whose turn comes soon.

        Args:
            run_id: The run.
            name: The pod's name.
            need: What its step needs.
            variables: The variables that the pipeline gives it.
        """
        self._ahead[run_id, name] = asyncio.create_task(self._create_ahead((run_id, name), need, variables))

    async def _create_ahead(self, key: tuple[str, str], need: Need, variables: dict[str, str]) -> None:
        # One after the other: the steps that run come first.
        async with self._importing:
            with contextlib.suppress(SandboxError, OSError):  # said when the step's turn comes, if it is still so
                kept = self._kept.pop(need, None)
                self._made[key] = pod = kept or await self.create(need, variables, imports_of(need.command[-1]))
                await pod.started.imported()

    async def take(self, run_id: str, name: str, need: Need, variables: dict[str, str]) -> tuple[Pod, dict[str, str]]:
        """The pod of a step: the one that was made ahead, if it still is as if it had been made now.

        Args:
            run_id: The run.
            name: The pod's name.
            need: What the step needs.
            variables: The variables that the pipeline gives it.

        Returns:
            The pod, whose process waits for its step, and the variables that this process does not know yet.

        Raises:
            SandboxError: If the command installs what is not the name of a package.
            OSError: If the pod's folder cannot be made.
        """
        self._recent[need] = self._recent.pop(need, True)
        late = {}
        if pod := await self._taken((run_id, name)) or self._kept.pop(need, None):
            late = {name: value for name, value in variables.items() if pod.values.get(name) != value}
            looked_at = await pod.started.imported()
            known = looked_at is not None and looked_at.isdisjoint({*late, ALL} if late else ())
            if not known or not pod.started.alive or pod.variables.keys() - variables.keys():
                await self.end(pod)
                pod, late = None, {}
        pod = pod or await self.create(need, variables)
        environment.give_token(self.sandbox, pod.folder)
        return pod, late

    async def end(self, pod: Pod) -> None:
        """End a pod: its process with all that it started, and its folder."""
        await self.processes.end(pod.started)
        await asyncio.to_thread(shutil.rmtree, pod.folder, ignore_errors=True)

    async def end_ahead(self, run_id: str) -> None:
        """End the pods that no step of a run has taken."""
        for key in [key for key in self._ahead if key[0] == run_id]:
            if pod := await self._taken(key):
                await self.end(pod)

    def rest(self) -> None:
        """The last run is over: soon, make pods for the next one, and keep them for a while."""
        self.wake()
        self._keeping = asyncio.create_task(self._keep())

    def wake(self) -> None:
        """A run begins."""
        if self._keeping:
            self._keeping.cancel()

    async def stop(self) -> None:
        """End the pods that wait for a run."""
        self.wake()
        async with self._importing:
            while self._kept:
                await self.end(self._kept.popitem()[1])

    async def _keep(self) -> None:
        await asyncio.sleep(REST)
        wanted = [need for need, kept in self._recent.items() if kept][-KEPT:]
        for need in self._kept.keys() - set(wanted):
            await self.end(self._kept.pop(need))
        for need in wanted:
            # What has begun is made also when a run comes meanwhile.
            await asyncio.shield(self._keep_one(need))
        await asyncio.sleep(KEEP)
        self._recent.clear()
        await asyncio.shield(self.stop())

    async def _keep_one(self, need: Need) -> None:
        imports = imports_of(need.command[-1])
        async with self._importing:
            if need in self._kept or not imports_packages(imports):
                return
            with contextlib.suppress(SandboxError, OSError):
                pod = await self.create(need, {}, imports)
                if ALL in (await pod.started.imported() or {ALL}):  # the next run's secrets would come too late
                    self._recent[need] = False
                    await self.end(pod)
                else:
                    self._kept[need] = pod

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


def imports_packages(imports: tuple[str, ...]) -> bool:
    """Whether some of the import statements are of more than each process of a step has loaded."""
    names = {statement.split()[1].split(".")[0] for statement in imports}
    return not names <= {*sys.stdlib_module_names, "kfp"}
