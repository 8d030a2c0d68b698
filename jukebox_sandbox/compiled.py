"""A compiled pipeline as the runner reads it, and the record of a run."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from jukebox_sandbox.errors import SandboxError

Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The C parser, where PyYAML has it, reads a pipeline forty times as fast."""


@dataclass(frozen=True)
class CompiledPipeline:
    """The two documents of a compiled pipeline: the pipeline spec and the platform spec, as plain data.

    See https://www.kubeflow.org/docs/components/pipelines/user-guides/core-functions/compile-a-pipeline/
    """

    spec: dict[str, Any]
    platform: dict[str, Any]

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return self.spec["pipelineInfo"]["name"]

    @property
    def executors(self) -> dict[str, dict[str, Any]]:
        """The containers of the steps, by executor label."""
        return {label: spec["container"] for label, spec in self.spec["deploymentSpec"]["executors"].items()}

    def platform_of(self, executor: str) -> dict[str, Any]:
        """What the platform spec says of an executor: secrets, field paths, volumes."""
        kubernetes = self.platform.get("platforms", {}).get("kubernetes", {})
        return kubernetes.get("deploymentSpec", {}).get("executors", {}).get(executor, {})


def read_pipeline(text: str) -> CompiledPipeline:
    """Read a compiled pipeline; SandboxError if the text is not one."""
    try:
        documents = list(yaml.load_all(text, Loader))
        pipeline = CompiledPipeline(documents[0], documents[1] if len(documents) > 1 else {})
        if not pipeline.name or not pipeline.executors:
            raise KeyError("pipelineInfo")
    except (yaml.YAMLError, KeyError, IndexError, TypeError) as error:
        raise SandboxError(f"This is not a compiled pipeline: {error}", "Compile it first.") from error
    return pipeline


@dataclass
class Step:
    """One step of a run: its state, and how long it took in seconds."""

    name: str
    state: Literal["pending", "running", "succeeded", "failed", "skipped"] = "pending"
    seconds: float = 0.0


@dataclass
class Run:
    """One execution of a pipeline on this machine.

    Attributes:
        id: The run's name, which is also the name of its folder.
        pipeline: The pipeline's name.
        folder: Holds ``pipeline.yaml`` (the very bytes that ran), ``run.json``, ``log.txt`` and ``artifacts/``.
        arguments: The pipeline's arguments.
        steps: The steps, in order.
        state: Where the run stands.
        error: Why it failed, in the words of the step that did.
        seconds: How long it took.
        pid: The process that follows it.
    """

    id: str
    pipeline: str
    folder: str
    arguments: dict[str, Any]
    steps: list[Step] = field(default_factory=list)
    state: Literal["running", "succeeded", "failed"] = "running"
    error: str = ""
    seconds: float = 0.0
    pid: int = 0

    def step(self, name: str) -> Step:
        """The step of that name; a step inside a loop is added when it first shows."""
        for step in self.steps:
            if step.name == name:
                return step
        self.steps.append(Step(name))
        return self.steps[-1]

    def finish(self, failed: bool, seconds: float) -> None:
        """Record the end of the run.

        Args:
            failed: Whether it failed.
            seconds: How long it took.
        """
        self.seconds, self.state = seconds, "failed" if failed else "succeeded"
        self.error = self.error if failed else ""
        for step in self.steps:
            if step.state in ("pending", "running"):
                step.state = "failed" if step.state == "running" else "skipped"
        self.save()

    def save(self) -> None:
        """Write ``run.json``, whole or not at all."""
        target = Path(self.folder, "run.json")
        temporary = target.with_suffix(".new")
        temporary.write_text(json.dumps(asdict(self), indent=2))
        temporary.replace(target)
