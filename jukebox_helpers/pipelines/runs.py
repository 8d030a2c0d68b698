"""A run of a pipeline, as a person and a program see it: steps, states, outputs."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.steps.files import write_whole
from jukebox_helpers.steps.messages import parts

StepState = Literal["pending", "running", "succeeded", "failed", "skipped"]


@dataclass
class Step:
    """One step of a run: its state, and how long it took in seconds."""

    name: str
    state: StepState = "pending"
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
        pid: The process that follows it; 0 for a run in a cluster.
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

    def artifact(self, step: str, name: str) -> Path:
        """The file that a step wrote as one of its outputs."""
        return next(Path(self.folder, "artifacts").glob(f"*/{step}/{name}"))

    def metadata(self, step: str, name: str) -> dict[str, Any]:
        """The metadata of an artifact that a step wrote."""
        output = next(Path(self.folder, "artifacts").glob(f"*/{step}/executor_output.json"))
        return json.loads(output.read_text())["artifacts"][name]["artifacts"][0]["metadata"]

    def output(self, step: str) -> Any:
        """The value that a step returned."""
        output = next(Path(self.folder, "artifacts").glob(f"*/{step}/executor_output.json"))
        return json.loads(output.read_text())["parameterValues"]["Output"]

    def save(self) -> None:
        """Write ``run.json``, whole or not at all."""
        text = json.dumps(asdict(self), indent=2)
        write_whole(str(Path(self.folder, "run.json")), lambda path: Path(path).write_text(text))


class RunFailed(JukeboxError):
    """A run whose step has failed; ``run`` says which, and where its log is."""

    def __init__(self, run: Run) -> None:
        failed = next((step.name for step in run.steps if step.state == "failed"), "")
        what, next_action = parts(run.error)
        where = f"Step {failed!r} of {run.pipeline!r} failed" if failed else f"Pipeline {run.pipeline!r} failed"
        super().__init__(f"{where}: {what}", f"{next_action} (The whole log: {run.folder}/log.txt)".strip())
        self.run = run


def run_from(known: dict[str, Any]) -> Run:
    """A run from what was written of it."""
    return Run(**{**known, "steps": [Step(**step) for step in known["steps"]]})


def read_run(folder: Path) -> Run:
    """Read a run from its folder; one whose process is gone has failed, whatever it wrote last."""
    run = run_from(json.loads((folder / "run.json").read_text()))
    if run.state == "running" and run.pid:
        try:
            os.kill(run.pid, 0)  # sends nothing, and says whether there is somebody
        except ProcessLookupError:
            run.state, run.error = "failed", "The run was ended from outside, before its last step."
    return run
