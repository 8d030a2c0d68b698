"""A compiled pipeline as the runner reads it: the pipeline spec and the platform spec, as plain data."""

from dataclasses import dataclass
from typing import Any

import yaml

from jukebox_sandbox.errors import SandboxError

Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The C parser, where PyYAML has it, reads a pipeline forty times as fast."""

COMPLETED = "ALL_UPSTREAM_TASKS_COMPLETED"
"""The trigger of a task that runs whatever became of those before it: the exit task of an ExitHandler."""


@dataclass(frozen=True)
class Specification:
    """The two documents of a compiled pipeline.

    See https://github.com/kubeflow/pipelines/blob/master/api/v2alpha1/pipeline_spec.proto
    """

    spec: dict[str, Any]
    platform: dict[str, Any]

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return self.spec["pipelineInfo"]["name"]

    @property
    def root(self) -> dict[str, Any]:
        """The component that is the pipeline itself."""
        return self.spec["root"]

    @property
    def executors(self) -> dict[str, dict[str, Any]]:
        """What runs, by executor label: a container, an importer."""
        return self.spec.get("deploymentSpec", {}).get("executors", {})

    @property
    def kubernetes(self) -> dict[str, Any]:
        """The platform spec of Kubernetes."""
        return self.platform.get("platforms", {}).get("kubernetes", {})

    def component(self, task: dict[str, Any]) -> dict[str, Any]:
        """The component of a task."""
        return self.spec["components"][task["componentRef"]["name"]]

    def platform_of(self, label: str) -> dict[str, Any]:
        """What the platform spec says of an executor: secrets, field paths, volumes."""
        return self.kubernetes.get("deploymentSpec", {}).get("executors", {}).get(label, {})


def read_specification(text: str) -> Specification:
    """Read a compiled pipeline.

    Args:
        text: The YAML, one or two documents.

    Returns:
        The pipeline.

    Raises:
        SandboxError: If the text is not a compiled pipeline.
    """
    try:
        documents = list(yaml.load_all(text, Loader))
        read = Specification(documents[0], documents[1] if len(documents) > 1 and documents[1] else {})
        if not read.name or not read.root["dag"]["tasks"]:
            raise KeyError("tasks")
        for component in (read.root, *read.spec.get("components", {}).values()):
            for task in component.get("dag", {}).get("tasks", {}).values():
                read.component(task)
    except (yaml.YAMLError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise SandboxError(
            f"This is not a compiled pipeline: {type(error).__name__}: {error}.", "Compile it first."
        ) from error
    return read


def dependencies(tasks: dict[str, Any]) -> dict[str, list[str]]:
    """Which tasks of a DAG each task waits for: those it names, and those whose outputs it takes.

    See `addImplicitDependencies` in backend/src/v2/compiler/argocompiler/dag.go.
    """
    found = {}
    for name, task in tasks.items():
        inputs = task.get("inputs", {})
        producers = [one["taskOutputParameter"]["producerTask"] for one in _with(inputs, "parameters", "taskOutput")]
        producers += [one["taskOutputArtifact"]["producerTask"] for one in _with(inputs, "artifacts", "taskOutput")]
        found[name] = sorted({*task.get("dependentTasks", []), *producers})
    return found


def _with(inputs: dict[str, Any], kind: str, prefix: str) -> list[dict[str, Any]]:
    key = f"{prefix}{kind.removesuffix('s').capitalize()}"
    return [one for one in inputs.get(kind, {}).values() if key in one]


def is_exit_task(task: dict[str, Any]) -> bool:
    """Whether a task runs whatever became of those before it."""
    return task.get("triggerPolicy", {}).get("strategy") == COMPLETED
