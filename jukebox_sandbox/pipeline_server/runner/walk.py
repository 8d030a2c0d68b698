"""The walk through a pipeline's graph: what waits for what, conditions, loops, exit tasks.

Argo does this in a cluster, with what `backend/src/v2/compiler/argocompiler/dag.go` makes of the pipeline.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Iterator
from functools import partial
from itertools import islice
from typing import Any

from jukebox_sandbox.pipeline_server.runner.containers import Containers
from jukebox_sandbox.pipeline_server.runner.expressions import WrongExpression, condition
from jukebox_sandbox.pipeline_server.runner.graph import Dag, outputs
from jukebox_sandbox.pipeline_server.runner.pods import AHEAD
from jukebox_sandbox.pipeline_server.runner.records import OMITTED, Records
from jukebox_sandbox.pipeline_server.runner.resolve import (
    Inputs,
    Names,
    check_types,
    items_of,
    iteration_inputs,
    resolve,
)
from jukebox_sandbox.pipeline_server.runner.specification import Specification, dependencies, is_exit_task
from jukebox_sandbox.pipeline_server.runner.values import WrongValue, normal

Task = dict[str, Any]


class Walk:
    """One run's walk.

    Args:
        pipeline: The pipeline.
        records: Where its rows are written.
        containers: Runs the steps.
        names: What the placeholders stand for.
    """

    def __init__(self, pipeline: Specification, records: Records, containers: Containers, names: Names) -> None:
        self.pipeline = pipeline
        self.records = records
        self.containers = containers
        self.names = names

    async def run(self, parameters: dict[str, Any]) -> bool:
        """Run the pipeline; cancelled, end all of it.

        Args:
            parameters: The run's parameters, with the pipeline's defaults.

        Returns:
            Whether it succeeded.
        """
        root = Dag("root", self.pipeline.root, scope="root", inputs=parameters)
        with self.records.transaction() as session:
            put = self.records.put
            put(session, "", "root", self.records.workflow, "RUNNING")
            put(session, "root", "driver", "root-driver", "SUCCEEDED", parent=("", "root"))
            put(session, "root", "dag", "root", "RUNNING", parent=("", "root"), inputs={"parameters": root.inputs})
        ended = "FAILED"
        try:
            ended = await self.dag(root)
        finally:
            with self.records.transaction() as session:
                self.records.put(session, "", "root", self.records.workflow, ended)
        return ended == "SUCCEEDED"

    async def dag(self, dag: Dag) -> str:
        """Run the tasks of a DAG, each when those that it waits for are done; side by side where they need not wait.

        After a failure nothing else of the DAG begins, but for exit tasks.

        Args:
            dag: The DAG, whose row says that it is running.

        Returns:
            ``SUCCEEDED`` or ``FAILED``.
        """
        tasks = dag.component["dag"]["tasks"]
        before = dependencies(tasks)
        states: dict[str, str] = {}
        running: dict[asyncio.Task[str], str] = {}
        ended = "FAILED"
        try:
            while True:
                for name in sorted(tasks.keys() - states.keys()):
                    self._begin(dag, name, tasks[name], before[name], states, running)
                if not running:
                    break
                if "FAILED" not in states.values():
                    for name in islice(upcoming(before, states), AHEAD):
                        if "dag" not in self.pipeline.component(tasks[name]):
                            self.containers.get_ready(dag, name, tasks[name])
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for one in done:
                    states[running.pop(one)] = one.result()
            ended = "FAILED" if "FAILED" in states.values() else "SUCCEEDED"
        finally:
            for one in running:
                one.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*running, return_exceptions=True)
            dag.state = "COMPLETE" if ended == "SUCCEEDED" else "FAILED"
            with self.records.transaction() as session:
                name = "iteration-item" if dag.scope.endswith("]") else dag.name
                self.records.put(session, dag.scope, "dag", name, ended, outputs=_recorded(dag))
        return ended

    def _begin(
        self,
        dag: Dag,
        name: str,
        task: Task,
        before: list[str],
        states: dict[str, str],
        running: dict[asyncio.Task[str], str],
    ) -> None:
        """Begin a task if its turn has come; say so if it never will."""
        waits = [states.get(one, "RUNNING") for one in before]
        if "RUNNING" in waits:
            return
        if not set(waits) <= ({"SUCCEEDED", "FAILED"} if is_exit_task(task) else {"SUCCEEDED"}):
            self._omit(dag, name)
            states[name] = "OMITTED"
        elif is_exit_task(task) or "FAILED" not in states.values():
            states[name] = "RUNNING"
            running[asyncio.create_task(self.task(dag, name, task))] = name

    def _omit(self, dag: Dag, name: str) -> None:
        with self.records.transaction() as session:
            scope, parent = f"{dag.scope}/{name}", (dag.scope, "dag")
            self.records.put(session, scope, "driver", f"{name}-driver", OMITTED, parent=parent)
            self.records.put(session, scope, "dag", name, OMITTED, parent=parent)

    async def task(self, dag: Dag, name: str, task: Task) -> str:
        """Run one task of a DAG.

        Args:
            dag: The DAG.
            name: The task's name.
            task: The task.

        Returns:
            ``SUCCEEDED``, ``FAILED`` or ``SKIPPED``.
        """
        component = self.pipeline.component(task)
        scope = f"{dag.scope}/{name}"
        try:
            inputs = resolve(task, component, dag, self.containers.names_in(dag, name))
            text = task.get("triggerPolicy", {}).get("condition")
            wanted = condition(text)(inputs.parameters) if text else True
            items = items_of(task, inputs) if wanted and "parameterIterator" in task else None
        except (WrongValue, WrongExpression) as error:
            return self.containers.driver_failed(dag, name, str(error))
        if "dag" not in component:
            return await self.containers.run(dag, name, task, inputs, wanted)
        inner = Dag(name, component, scope=scope, inputs=inputs.parameters, input_artifacts=inputs.artifacts)
        dag.tasks[name] = inner
        driver = "iteration-driver" if items else f"{name}-driver"
        with self.records.transaction() as session:
            parent = (dag.scope, "dag")
            state = "RUNNING" if wanted else "SKIPPED"
            self.records.put(session, scope, "driver", driver, "SUCCEEDED", parent=parent)
            self.records.put(session, scope, "dag", name, state, parent=parent, inputs=_given(inputs))
        if not wanted:
            inner.state = "CANCELED"
            return "SKIPPED"
        return await (self.loop(inner, task, inputs, *items) if items else self.dag(inner))

    async def loop(self, loop: Dag, task: Task, inputs: Inputs, items: list[Any], key: str) -> str:
        """Run the iterations of a loop, as many side by side as it allows.

        Args:
            loop: The loop.
            task: Its task.
            inputs: Its inputs.
            items: What it goes over.
            key: The input that holds the items.

        Returns:
            ``SUCCEEDED`` or ``FAILED``.
        """
        limit = asyncio.Semaphore(int(task.get("iteratorPolicy", {}).get("parallelismLimit") or 0) or len(items) or 1)
        loop.iterations = [
            Dag(loop.name, loop.component, scope=f"{loop.scope}[{number}]") for number in range(len(items))
        ]
        ended = "FAILED"
        children: list[asyncio.Task[str]] = []
        try:
            with self.records.transaction() as session:
                state = "RUNNING" if items else "SKIPPED"
                parent = (loop.scope, "dag")
                self.records.put(session, loop.scope, "iteration", "iteration-iterations", state, parent=parent)
            for number, (one, item) in enumerate(zip(loop.iterations, items, strict=True)):
                given = partial(iteration_inputs, task, loop.component, inputs, key, item)
                children.append(asyncio.create_task(_within(limit, partial(self._iteration, loop, one, number, given))))
            states = await asyncio.gather(*children)
            ended = "FAILED" if "FAILED" in states else "SUCCEEDED"
        finally:
            for child in children:
                child.cancel()
            await asyncio.gather(*children, return_exceptions=True)
            loop.state = "COMPLETE" if ended == "SUCCEEDED" else "FAILED"
            with self.records.transaction() as session:
                if items:
                    self.records.put(session, loop.scope, "iteration", "iteration-iterations", ended)
                self.records.put(session, loop.scope, "dag", loop.name, ended)
        return ended

    async def _iteration(self, loop: Dag, one: Dag, number: int, given: Callable[[], Inputs]) -> str:
        """Run one iteration of a loop."""
        row = ("iteration", f"iteration-iterations({number}:{number})")
        parent, put = (one.scope, "iteration"), self.records.put
        with self.records.transaction() as session:
            put(session, one.scope, *row, "RUNNING", parent=(loop.scope, "iteration"))
        ended = "FAILED"
        try:
            inputs = given()
            one.inputs, one.input_artifacts = inputs.parameters, inputs.artifacts
            with self.records.transaction() as session:
                put(session, one.scope, "driver", "iteration-item-driver", "SUCCEEDED", parent=parent)
                put(session, one.scope, "dag", "iteration-item", "RUNNING", parent=parent, inputs=_given(inputs))
            ended = await self.dag(one)
        except WrongValue as error:
            with self.records.transaction() as session:
                put(session, one.scope, "driver", "iteration-item-driver", "FAILED", parent=parent, error=str(error))
            self.containers.failures.append(f"Iteration {number} of {loop.name!r} cannot begin: {error}.")
        finally:
            with self.records.transaction() as session:
                put(session, one.scope, *row, ended)
        return ended


def upcoming(before: dict[str, list[str]], begun: Collection[str]) -> Iterator[str]:
    """The tasks of a DAG that have not begun, in an order in which they can.

    Args:
        before: Which tasks each task waits for.
        begun: Those that have begun.

    Yields:
        Their names.
    """
    known = set(begun)
    while ready := sorted(name for name in before if name not in known and known.issuperset(before[name])):
        yield from ready
        known.update(ready)


def root_parameters(pipeline: Specification, given: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a run, with the pipeline's defaults.

    Args:
        pipeline: The pipeline.
        given: The values that the run gives.

    Returns:
        Values by parameter; None for an optional one that is not given.

    Raises:
        WrongValue: If a parameter is missing or does not fit.
    """
    wanted = pipeline.root.get("inputDefinitions", {}).get("parameters", {})
    values = normal(dict(given))
    not_given = set()
    for name, spec in wanted.items():
        if name not in values and (spec.get("isOptional") or spec.get("defaultValue") is not None):
            values[name] = normal(spec.get("defaultValue"))
            if values[name] is None:
                not_given.add(name)
    check_types(values, wanted, not_given, set())
    return values


async def _within(limit: asyncio.Semaphore, begin: Callable[[], Awaitable[str]]) -> str:
    async with limit:
        return await begin()


def _given(inputs: Inputs) -> dict[str, Any]:
    ids = {name: [int(one["name"]) for one in listed] for name, listed in inputs.artifacts.items()}
    return {"parameters": inputs.parameters, "artifacts": ids}


def _recorded(dag: Dag) -> dict[str, Any]:
    found = outputs(dag)
    ids = {name: [int(one["name"]) for one in listed] for name, listed in found["artifacts"].items()}
    return {"parameters": found["parameters"], "artifacts": ids}
