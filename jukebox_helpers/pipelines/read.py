"""Reading a compiled pipeline: the pipeline spec and the platform spec."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from jukebox_helpers.errors import JukeboxError

Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The C parser, where PyYAML has it, reads a pipeline forty times as fast."""


@dataclass(frozen=True)
class CompiledPipeline:
    """A compiled pipeline: the pipeline spec and the platform spec, as plain data.

    See https://www.kubeflow.org/docs/components/pipelines/user-guides/core-functions/compile-a-pipeline/
    """

    spec: dict[str, Any]
    platform: dict[str, Any]

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return self.spec["pipelineInfo"]["name"]

    @property
    def parameters(self) -> dict[str, dict[str, Any]]:
        """The pipeline's parameters: type, default value, whether optional."""
        return self.spec["root"].get("inputDefinitions", {}).get("parameters", {})

    @property
    def executors(self) -> dict[str, dict[str, Any]]:
        """The containers of the steps, by executor label."""
        return {label: spec["container"] for label, spec in self.spec["deploymentSpec"]["executors"].items()}

    def platform_of(self, executor: str) -> dict[str, Any]:
        """What the platform spec says of an executor: secrets, field paths, volumes."""
        kubernetes = self.platform.get("platforms", {}).get("kubernetes", {})
        return kubernetes.get("deploymentSpec", {}).get("executors", {}).get(executor, {})

    def steps(self) -> list[str]:
        """The steps in an order in which they can run; those inside a condition or a loop under their own names."""

        def visit(component: dict[str, Any]) -> Iterator[str]:
            waiting = dict(component["dag"]["tasks"])
            while waiting:
                ready = [n for n, t in waiting.items() if not set(t.get("dependentTasks", [])) & set(waiting)]
                for name in sorted(ready):
                    inner = self.spec["components"][waiting.pop(name)["componentRef"]["name"]]
                    if "dag" in inner:
                        yield from visit(inner)
                    else:
                        yield name

        return list(visit(self.spec["root"]))

    def text(self) -> str:
        """The YAML of a pipeline that was changed after it was read."""
        return yaml.safe_dump_all([self.spec, self.platform], sort_keys=False)

    def until(self, last: str) -> "CompiledPipeline":
        """The part of the pipeline that one step needs: the step itself and all that it waits for.

        Args:
            last: The name of a top-level step.

        Returns:
            The shortened pipeline.
        """
        tasks = self.spec["root"]["dag"]["tasks"]
        needed, waiting = set(), [last]
        while waiting:
            name = waiting.pop()
            needed.add(name)
            waiting += [task for task in tasks[name].get("dependentTasks", []) if task not in needed]
        dag = {**self.spec["root"]["dag"], "tasks": {name: tasks[name] for name in tasks if name in needed}}
        return CompiledPipeline({**self.spec, "root": {**self.spec["root"], "dag": dag}}, self.platform)

    def with_argument(self, step: str, parameter: str, value: str) -> "CompiledPipeline":
        """The same pipeline with another argument for a parameter of one top-level step.

        Args:
            step: The step's name.
            parameter: The step's parameter.
            value: The argument.

        Returns:
            The changed pipeline.
        """
        spec = copy.deepcopy(self.spec)
        inputs = spec["root"]["dag"]["tasks"][step].setdefault("inputs", {}).setdefault("parameters", {})
        inputs[parameter] = {"runtimeValue": {"constant": value}}
        return CompiledPipeline(spec, self.platform)


def documents(spec: dict[str, Any]) -> CompiledPipeline:
    """A compiled pipeline from what a server answers: both documents where there is a platform spec, else the one."""
    known = spec if "pipeline_spec" in spec else {"pipeline_spec": spec}
    return CompiledPipeline(known["pipeline_spec"], known.get("platform_spec") or {})


def read_pipeline(text: str) -> CompiledPipeline:
    """Read a compiled pipeline.

    Args:
        text: The YAML, one or two documents.

    Returns:
        The pipeline.

    Raises:
        JukeboxError: If it is not a compiled pipeline.
    """
    try:
        documents = list(yaml.load_all(text, Loader))
        pipeline = CompiledPipeline(documents[0], documents[1] if len(documents) > 1 else {})
        if not pipeline.name or not pipeline.executors:
            raise KeyError("pipelineInfo")
    except (yaml.YAMLError, KeyError, IndexError, TypeError) as error:
        raise JukeboxError(f"This is not a compiled pipeline: {error}", "Compile it with ./jukebox compile.") from error
    return pipeline
