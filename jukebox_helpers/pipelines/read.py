"""Reading a compiled pipeline, the pipeline spec and the platform spec, and checking arguments for it."""

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

import yaml

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.steps.messages import without_secrets

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
        """The containers of the steps, by executor label; an importer has none."""
        known = self.spec["deploymentSpec"]["executors"]
        return {label: spec["container"] for label, spec in known.items() if "container" in spec}

    def platform_of(self, executor: str) -> dict[str, Any]:
        """What the platform spec says of an executor: secrets, field paths, volumes."""
        kubernetes = self.platform.get("platforms", {}).get("kubernetes", {})
        return kubernetes.get("deploymentSpec", {}).get("executors", {}).get(executor, {})

    def tasks(self, component: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
        """The tasks of a component, each with its name and its own component, in an order in which they can run."""
        tasks = component["dag"]["tasks"]
        order = TopologicalSorter({name: task.get("dependentTasks", ()) for name, task in tasks.items()})
        order.prepare()
        while order:
            ready = sorted(order.get_ready())
            order.done(*ready)
            for name in ready:
                yield name, tasks[name], self.spec["components"][tasks[name]["componentRef"]["name"]]

    def cached(self) -> "CompiledPipeline":
        """The same pipeline, but that each of its tasks may be answered by the server's cache."""
        spec = copy.deepcopy(self.spec)
        for component in (spec["root"], *spec["components"].values()):
            for task in component.get("dag", {}).get("tasks", {}).values():
                task["cachingOptions"] = {"enableCache": True}
        return CompiledPipeline(spec, self.platform)

    def steps(self) -> list[str]:
        """The steps in an order in which they can run; those inside a condition or a loop under their own names."""

        def visit(component: dict[str, Any]) -> Iterator[str]:
            for name, _, inner in self.tasks(component):
                yield from visit(inner) if "dag" in inner else (name,)

        return list(visit(self.spec["root"]))

    def text(self) -> str:
        """The YAML of a pipeline that was changed after it was read."""
        return yaml.safe_dump_all([self.spec, self.platform], sort_keys=False)

    def until(self, last: str) -> "CompiledPipeline":
        """The part of the pipeline that one top-level step needs: the step itself and all that it waits for."""
        tasks = self.spec["root"]["dag"]["tasks"]
        needed, waiting = set(), [last]
        while waiting:
            name = waiting.pop()
            needed.add(name)
            waiting += [task for task in tasks[name].get("dependentTasks", []) if task not in needed]
        dag = {**self.spec["root"]["dag"], "tasks": {name: tasks[name] for name in tasks if name in needed}}
        return CompiledPipeline({**self.spec, "root": {**self.spec["root"], "dag": dag}}, self.platform)

    def with_argument(self, step: str, parameter: str, value: str) -> "CompiledPipeline":
        """The same pipeline with another argument for a parameter of one top-level step."""
        spec = copy.deepcopy(self.spec)
        inputs = spec["root"]["dag"]["tasks"][step].setdefault("inputs", {}).setdefault("parameters", {})
        inputs[parameter] = {"runtimeValue": {"constant": value}}
        return CompiledPipeline(spec, self.platform)


def documents(spec: dict[str, Any]) -> CompiledPipeline:
    """A compiled pipeline from what a server answers: both documents where there is a platform spec, else the one."""
    known = spec if "pipeline_spec" in spec else {"pipeline_spec": spec}
    return CompiledPipeline(known["pipeline_spec"], known.get("platform_spec") or {})


def read_pipeline(text: str) -> CompiledPipeline:
    """Read a compiled pipeline, YAML of one or two documents; anything else is a JukeboxError."""
    try:
        spec, *platform = yaml.load_all(text, Loader)
        pipeline = CompiledPipeline(spec, platform[0] if platform else {})
        if not pipeline.name or not pipeline.spec["deploymentSpec"]["executors"]:
            raise KeyError("pipelineInfo")
    except (yaml.YAMLError, KeyError, ValueError, TypeError) as error:
        raise JukeboxError(f"This is not a compiled pipeline: {error}", "Compile it with ./jukebox compile.") from error
    return pipeline


def check_arguments(pipeline: CompiledPipeline, arguments: dict[str, Any]) -> None:
    """Refuse arguments that the pipeline does not know, the lack of one that it needs, addresses with a password."""
    check_addresses(arguments)
    known = pipeline.parameters
    needed = {name for name, its in known.items() if "defaultValue" not in its and not its.get("isOptional")}
    wrong = {"does not know": arguments.keys() - known.keys(), "needs": needed - arguments.keys()}
    if problems := [f"{what} {', '.join(sorted(names))}" for what, names in wrong.items() if names]:
        raise JukeboxError(
            f"The pipeline {pipeline.name!r} {' and '.join(problems)}.", f"Its parameters are: {', '.join(known)}."
        )


def check_addresses(arguments: dict[str, Any]) -> None:
    """Refuse an address with a user name or a password in it, without saying it."""
    for name, value in arguments.items():
        if isinstance(value, str) and without_secrets(value) != re.split("[?#]", value)[0]:
            raise JukeboxError(
                f"The argument {name} is an address with a user name or a password in it, which logs would keep.",
                "Give the address alone. For git the Secret git-auth has both; for data, load it to the bucket "
                "data, or name a file.",
            )
