"""The steps of a run: driver, cache, attempts, and what is written down of each."""

import asyncio
import time
import uuid
from dataclasses import replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from jukebox_sandbox.errors import SandboxError
from jukebox_sandbox.pipeline_server.runner import cache, environment
from jukebox_sandbox.pipeline_server.runner.graph import Dag, Node
from jukebox_sandbox.pipeline_server.runner.pods import Need
from jukebox_sandbox.pipeline_server.runner.records import OMITTED, Records
from jukebox_sandbox.pipeline_server.runner.resolve import Inputs, Names, parameter
from jukebox_sandbox.pipeline_server.runner.specification import Specification
from jukebox_sandbox.pipeline_server.runner.step import (
    Facilities,
    Outputs,
    Step,
    StepFailed,
    as_input,
    execute,
    input_part,
)
from jukebox_sandbox.pipeline_server.runner.values import WrongValue
from jukebox_sandbox.pipeline_server.runner.volumes import claims
from jukebox_sandbox.pipeline_server.tables import Artifact, Task

ENDED_FROM_OUTSIDE = "The run was ended from outside."


class Containers:
    """Runs the steps of one run.

    Args:
        pipeline: The pipeline.
        records: Where its rows are written.
        facilities: What all steps share.
        slots: How many steps run side by side, of all runs.
        names: What the placeholders stand for.
        root: Where the run's artifacts go.
    """

    def __init__(
        self,
        pipeline: Specification,
        records: Records,
        facilities: Facilities,
        slots: asyncio.Semaphore,
        names: Names,
        root: str,
    ) -> None:
        self.pipeline = pipeline
        self.records = records
        self.facilities = facilities
        self.slots = slots
        self.names = names
        self.root = root
        self.failures: list[str] = []

    def names_in(self, dag: Dag, name: str) -> Names:
        """What the placeholders stand for in a task of a DAG."""
        with self.records.transaction() as session:
            row = self.records.find(session, dag.scope, "dag")
        return replace(self.names, task=name, dag=str(row.number if row else 0))

    def driver_failed(self, dag: Dag, name: str, error: str) -> str:
        """Write down that a task's inputs cannot be resolved; the state ``FAILED``."""
        scope, parent = f"{dag.scope}/{name}", (dag.scope, "dag")
        dag.tasks[name] = Node(name, {}, "FAILED")
        with self.records.transaction() as session:
            self.records.put(session, scope, "driver", f"{name}-driver", "FAILED", parent=parent, error=error)
            self.records.put(session, scope, "dag", name, OMITTED, parent=parent)
        self.failures.append(f"Step {name!r} cannot begin: {error}.")
        return "FAILED"

    def _executor(self, task: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The container of a task, and what the platform spec says of it."""
        label = self.pipeline.component(task)["executorLabel"]
        return self.pipeline.executors[label]["container"], self.pipeline.platform_of(label)

    def _variables(self, dag: Dag, name: str, task: dict[str, Any], pod_name: str) -> dict[str, str]:
        """The variables that the pipeline gives a step."""
        names = self.names_in(dag, name)
        return environment.declared_environment(
            name,
            *self._executor(task),
            self.facilities.sandbox,
            lambda spec: parameter(spec, dag, task, names),
            pod_name,
            self.records.run_id,
        )

    def get_ready(self, dag: Dag, name: str, task: dict[str, Any]) -> None:
        """Begin to make the pod of a step whose turn comes soon, if it is certain to need one.

        Args:
            dag: The DAG that it is in.
            name: Its name there.
            task: Its task.
        """
        scope, cached = f"{dag.scope}/{name}", task.get("cachingOptions", {}).get("enableCache")
        pod_name, pods = self.records.pod(scope, "executor", "executor"), self.facilities.pods
        if cached or task.keys() & {"triggerPolicy", "retryPolicy"} or not pods.wants(self.records.run_id, pod_name):
            return
        with self.records.transaction() as session:
            if self.records.find(session, scope, "executor"):  # done before the run was retried
                return
        try:
            variables = self._variables(dag, name, task, pod_name)
        except (WrongValue, SandboxError, OSError):
            return  # what it says here, the step says when its turn has come
        pods.create_ahead(self.records.run_id, pod_name, Need(name, self._executor(task)[0]["command"], variables))

    async def run(self, dag: Dag, name: str, task: dict[str, Any], inputs: Inputs, wanted: bool) -> str:
        """Run one step.

        Args:
            dag: The DAG that it is in.
            name: Its name there.
            task: Its task.
            inputs: Its inputs.
            wanted: Whether its condition is true.

        Returns:
            ``SUCCEEDED``, ``FAILED`` or ``SKIPPED``.
        """
        component = self.pipeline.component(task)
        container, platform = self._executor(task)
        node = dag.tasks[name] = Node(name, component)
        scope = f"{dag.scope}/{name}"
        if self._taken_over(node, scope):
            return "SUCCEEDED"
        names = self.names_in(dag, name)
        try:
            mounts = claims(name, platform, lambda spec: parameter(spec, dag, task, names))
        except (WrongValue, SandboxError) as error:
            return self.driver_failed(dag, name, str(error))
        volumes = [claim.split("/")[0] for claim, _ in mounts]
        key = cache.fingerprint(self.pipeline.name, task, component, container, input_part(inputs), volumes)
        with self.records.transaction() as session:
            parent = (dag.scope, "dag")
            put = self.records.put
            put(session, scope, "driver", f"{name}-driver", "SUCCEEDED", parent=parent)
            if not wanted:
                put(session, scope, "dag", name, "SKIPPED", parent=parent)
                node.state = "CANCELED"
                return "SKIPPED"
            part_of = {"parent": (scope, "dag"), "inputs": _recorded(inputs)}
            if hit := cache.earlier(session, key):
                put(session, scope, "dag", name, "SUCCEEDED", parent=parent)
                put(
                    session, scope, "executor", "executor", "SKIPPED",
                    **part_of, outputs=hit.outputs, cached_from=hit.run_id, fingerprint=key,
                )  # fmt: skip
                self._fill(session, node, hit.outputs, "CACHED")
                return "SUCCEEDED"
            put(session, scope, "dag", name, "RUNNING", parent=parent)
            put(session, scope, "executor", "executor", "PENDING", **part_of, fingerprint=key)
        root = f"{self.root}/{name}/{uuid.uuid4()}"
        step = Step(name, self.records.run_id, component, container, platform, inputs, root, mounts)
        return await self._attempts(step, node, dag, task, scope)

    async def _attempts(self, step: Step, node: Node, dag: Dag, task: dict[str, Any], scope: str) -> str:
        """Run a step, again where its retry policy says so, and write down how it ended."""
        policy = task.get("retryPolicy", {})
        limit = int(policy.get("maxRetryCount", 0))
        pause = _seconds(policy.get("backoffDuration"))
        deadline = time.monotonic() + (_seconds(policy.get("backoffMaxDuration")) or float("inf"))
        error = ENDED_FROM_OUTSIDE
        outputs = None
        try:
            for number in range(limit + 1):
                error = ENDED_FROM_OUTSIDE
                try:
                    outputs = await self._attempt(step, dag, task, scope, number if policy else None)
                    break
                except (StepFailed, SandboxError, WrongValue, OSError) as failure:
                    # A refusal says by itself which step it is.
                    told = isinstance(failure, SandboxError) and f"{step.name!r}" in str(failure)
                    error = str(failure) if told else f"Step {step.name!r} failed: {str(failure).rstrip('.')}."
                if number < limit:
                    wait = pause * float(policy.get("backoffFactor") or 1) ** number
                    if time.monotonic() + wait > deadline:
                        break
                    await asyncio.sleep(wait)
        finally:
            self._end(node, scope, step.name, outputs, error)
        return "SUCCEEDED" if outputs else "FAILED"

    async def _attempt(self, step: Step, dag: Dag, task: dict[str, Any], scope: str, number: int | None) -> Outputs:
        """One attempt at a step, in a row of its own where the step may be retried."""
        own, name = (scope, "executor") if number is None else (f"{scope}({number})", f"executor({number})")
        async with self.slots:
            with self.records.transaction() as session:
                row = self.records.put(session, scope, "executor", "executor", "RUNNING")
                if number is not None:
                    row = self.records.put(session, own, "executor", name, "RUNNING", parent=(scope, "executor"))
            state, error = "FAILED", ENDED_FROM_OUTSIDE
            try:
                values = self._variables(dag, step.name, task, row.pod_name)
                if number is not None:
                    values["KFP_RETRY_INDEX"] = str(number)
                with self.facilities.volumes.mounted(step.name, step.mounts):
                    outputs = await execute(step, self.facilities, row.pod_name, values)
                state, error = "SUCCEEDED", ""
                return outputs
            except (StepFailed, SandboxError, WrongValue, OSError) as failure:
                error = str(failure)
                raise
            finally:
                if number is not None:
                    with self.records.transaction() as session:
                        self.records.put(session, own, "executor", name, state, error=error)

    def _end(self, node: Node, scope: str, name: str, outputs: Outputs | None, error: str) -> None:
        """Write down how a step ended, its artifacts with it, in one transaction."""
        with self.records.transaction() as session:
            if outputs is None:
                self.records.put(session, scope, "executor", "executor", "FAILED", error=error)
                self.records.put(session, scope, "dag", name, "FAILED")
                node.state = "FAILED"
                self.failures.append(error)
                return
            session.add_all(outputs.artifacts.values())
            session.flush()
            ids = {one: [artifact.id] for one, artifact in outputs.artifacts.items()}
            known = {"parameters": outputs.parameters, "artifacts": ids}
            self.records.put(session, scope, "executor", "executor", "SUCCEEDED", outputs=known)
            self.records.put(session, scope, "dag", name, "SUCCEEDED")
            self._fill(session, node, known, "COMPLETE")

    def _taken_over(self, node: Node, scope: str) -> bool:
        """Whether a step has ended well before the run was retried; its outputs are taken over."""
        with self.records.transaction() as session:
            row = self.records.find(session, scope, "executor")
            if row is None or not (row.state == "SUCCEEDED" or row.cached_from):
                return False
            self._fill(session, node, row.outputs, "CACHED" if row.cached_from else "COMPLETE")
        return True

    def _fill(self, session: Session, node: Node, outputs: dict[str, Any], state: str) -> None:
        node.state = state
        node.parameters = outputs["parameters"]
        for name, ids in outputs["artifacts"].items():
            rows = session.scalars(select(Artifact).where(Artifact.id.in_(ids))).all()
            node.artifacts[name] = [as_input(row) for row in rows]


def unfinished(session: Session, run_id: str) -> list[Task]:
    """The rows of a run that a retry begins anew: all but those of steps that ended well."""
    rows = session.scalars(select(Task).where(Task.run_id == run_id)).all()
    kept = {row.scope for row in rows if row.kind == "executor" and (row.state == "SUCCEEDED" or row.cached_from)}
    around = tuple(f"{scope}{mark}" for scope in {row.scope for row in rows} for mark in "/[")
    holding = {one[:-1] for one in around if any(scope.startswith(one) for scope in kept)}
    return [row for row in rows if row.scope not in kept | holding and row.kind != "root"]


def _seconds(duration: Any) -> float:
    return float(str(duration).rstrip("s")) if duration else 0.0


def _recorded(inputs: Inputs) -> dict[str, Any]:
    ids = {name: [int(one["name"]) for one in listed] for name, listed in inputs.artifacts.items()}
    return {"parameters": inputs.parameters, "artifacts": ids}
