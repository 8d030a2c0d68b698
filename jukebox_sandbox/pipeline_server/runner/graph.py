"""What has run so far, as a tree of DAGs and steps, and the outputs of each.

It gives what `backend/src/v2/driver/resolve.go` finds in ML Metadata, and refuses what that refuses.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jukebox_sandbox.pipeline_server.runner.values import WrongValue

DONE = ("COMPLETE", "CACHED")


@dataclass
class Node:
    """A task that has begun: a step, or a DAG.

    Attributes:
        name: Its name in its DAG.
        component: Its component.
        state: ``RUNNING``, ``COMPLETE``, ``CACHED``, ``FAILED`` or ``CANCELED`` (its condition was false).
        parameters: The values of its outputs, if it is a step.
        artifacts: The artifacts of its outputs, if it is a step: lists, as the driver hands them on.
    """

    name: str
    component: dict[str, Any]
    state: str = "RUNNING"
    parameters: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


@dataclass
class Dag(Node):
    """A DAG that has begun: what it was given, and its tasks.

    Attributes:
        scope: The path of names from the root.
        inputs: The values of its parameters.
        input_artifacts: The artifacts that it was given.
        tasks: Those of its tasks that have begun, by name.
        iterations: The iterations, if it is a loop.
    """

    scope: str = ""
    inputs: dict[str, Any] = field(default_factory=dict)
    input_artifacts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    tasks: dict[str, Node] = field(default_factory=dict)
    iterations: list[Dag] | None = None


def producer(dag: Dag, name: str) -> Node:
    """A task of a DAG; WrongValue if it has not begun."""
    if name not in dag.tasks:
        raise WrongValue(f"the task {name!r}, whose output it takes, has not run")
    return dag.tasks[name]


def output(node: Node, key: str, kind: str) -> Any:
    """An output of a task: a step's own, or what a DAG takes from its tasks; all of a loop's, in a list."""
    if isinstance(node, Dag) and node.iterations:
        return _collected(node, key, kind)
    if not isinstance(node, Dag):
        if kind == "parameters":
            return node.parameters.get(key)  # where it failed: nothing, as in ML Metadata
        if key not in node.artifacts:
            raise WrongValue(f"the task {node.name!r} has no output {key!r}")
        return node.artifacts[key]
    task, key = _inner(node, key, kind)
    return output(producer(node, task), key, kind)


def _inner(dag: Dag, key: str, kind: str) -> tuple[str, str]:
    """The task inside a DAG that an output of the DAG comes from, and the output's name there."""
    spec = dag.component["dag"].get("outputs", {}).get(kind, {}).get(key)
    if spec is None:
        raise WrongValue(f"the DAG {dag.name!r} has no output {key!r}")
    if "valueFromParameter" in spec:
        choices = [spec["valueFromParameter"]]
    elif "valueFromOneof" in spec:
        choices = spec["valueFromOneof"]["parameterSelectors"]
    else:
        choices = spec.get("artifactSelectors", [])
    word = "outputParameterKey" if kind == "parameters" else "outputArtifactKey"
    if len(choices) == 1:
        return choices[0]["producerSubtask"], choices[0][word]
    for choice in choices:
        task = dag.tasks.get(choice["producerSubtask"])
        if task is not None and task.state in DONE:
            return choice["producerSubtask"], choice[word]
    raise WrongValue(f"OneOf: none of the branches of {dag.name!r} that give {key!r} has run")


def _collected(loop: Dag, key: str, kind: str) -> list[Any]:
    """The outputs of all iterations in one list; a loop inside a loop adds to the same list."""
    found: list[Any] = []
    for iteration in loop.iterations or []:
        node: Node = iteration
        name = key
        while isinstance(node, Dag) and not node.iterations:
            task, name = _inner(node, name, kind)
            node = producer(node, task)
        if isinstance(node, Dag):
            found += _collected(node, name, kind)
        elif kind == "artifacts":
            found += output(node, name, kind)
        else:
            found.append(output(node, name, kind))
    return found


def outputs(dag: Dag) -> dict[str, Any]:
    """All outputs of a DAG that has run, as far as there are any."""
    found: dict[str, Any] = {"parameters": {}, "artifacts": {}}
    for kind, keys in dag.component["dag"].get("outputs", {}).items():
        for key in keys:
            try:
                found[kind][key] = output(dag, key, kind)
            except WrongValue:
                continue
    return found
