"""Pictures that a notebook draws by itself: a pipeline as a graph, a run while it runs, lineage.

They are Mermaid text, which JupyterLab (4.1 and later) draws in the colours of its theme; a console gets the same
as indented text. See https://mermaid.js.org/syntax/flowchart.html
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from jukebox_helpers.pipelines.read import CompiledPipeline, read_pipeline
from jukebox_helpers.pipelines.runs import Run, StepState
from jukebox_helpers.show.progress import MARKS, RunProgress, in_seconds

COLOURS = {
    "pending": "fill:#eceff1,stroke:#78909c,color:#263238",
    "running": "fill:#bbdefb,stroke:#1565c0,color:#0d2c54,stroke-width:3px",
    "succeeded": "fill:#c8e6c9,stroke:#2e7d32,color:#14361a",
    "failed": "fill:#ffcdd2,stroke:#c62828,color:#4e1111,stroke-width:3px",
    "skipped": "fill:#f5f5f5,stroke:#9e9e9e,color:#555555,stroke-dasharray:4 3",
    "data": "fill:#fff3c4,stroke:#b7791f,color:#4a3208",
    "code": "fill:#e1d5f5,stroke:#6b46c1,color:#2d1a57",
    "model": "fill:#c8e6c9,stroke:#2e7d32,color:#14361a,stroke-width:3px",
    "missing": "fill:#ffffff,stroke:#c62828,color:#8e1b1b,stroke-dasharray:4 3",
}
"""Each box brings its own background and a dark text, so it reads the same in the light and in the dark theme."""

LAYOUT = '%%{init: {"flowchart": {"rankSpacing": 28, "nodeSpacing": 28, "subGraphTitleMargin": {"bottom": 8}}}}%%'
"""Closer together than Mermaid's own."""

ALWAYS_LAST = "ALL_UPSTREAM_TASKS_COMPLETED"
"""KFP's trigger strategy of a step that runs even after a failure."""


@dataclass(frozen=True, repr=False)
class Diagram:
    """A picture in two forms: Mermaid for front ends that draw, text for all others."""

    mermaid: str
    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/vnd.mermaid": self.mermaid, "text/plain": self.text}


@dataclass
class Task:
    """One box of a pipeline's graph: a step, or a condition, loop or exit handler around others.

    ``name`` is as in the compiled YAML and in a run. ``note`` is what a condition asks or a loop goes through, empty
    for a step. ``waits`` names the tasks beside it that it waits for, without those that another of them waits for.
    ``inside`` has the tasks in it, in an order in which they can run. ``state`` is None without a run.
    """

    name: str
    note: str = ""
    waits: list[str] = field(default_factory=list)
    inside: list["Task"] = field(default_factory=list)
    state: StepState | None = None
    seconds: float = 0.0

    @property
    def label(self) -> str:
        """State, name and time."""
        mark = MARKS[self.state][0] + " " if self.state else ""
        timed = self.state in ("succeeded", "failed") and not self.inside and self.seconds >= 1
        return f"{mark}{self.name}{f'  {in_seconds(self.seconds)}' if timed else ''}"


@dataclass(frozen=True, repr=False)
class PipelineGraph(Diagram):
    """A pipeline's graph; ``tasks`` is what it shows."""

    tasks: list[Task]


def pipeline_graph(source: str | Path | CompiledPipeline | None = None, run: Run | None = None) -> PipelineGraph:
    """Draw a compiled pipeline, and how far a run of it has come, with states and times.

    The source is the compiled YAML, or what was read from it; None means what the run runs. Without either it is a
    ValueError.
    """
    if source is None and run:
        source = run.compiled
    if source is not None:
        pipeline = source if isinstance(source, CompiledPipeline) else read_pipeline(Path(source).read_text())
        name, tasks = pipeline.name, read_tasks(pipeline, pipeline.spec["root"])
    elif run:
        name, tasks = run.pipeline, [Task(step.name) for step in run.steps]
    else:
        raise ValueError("There is nothing to draw. Next: give the compiled YAML, or a run.")
    if run:
        show_run(tasks, run)
    took = f" after {in_seconds(run.seconds)}" if run and run.seconds >= 1 else ""
    title = f"{name}: {run.state}{took}" if run else name
    direction = "LR" if len(tasks) <= 6 and not any(task.inside for task in tasks) else "TB"
    lines = [LAYOUT, f"flowchart {direction}", f"  accTitle: Pipeline {title}", *mermaid_tasks(tasks, "t", "  ")]
    return PipelineGraph("\n".join([*lines, *colours()]), "\n".join([title, *text_tasks(tasks, "  ")]), tasks)


def read_tasks(pipeline: CompiledPipeline, component: dict[str, Any]) -> list[Task]:
    """The tasks of a component, in an order in which they can run, each with those inside it."""
    earlier: dict[str, set[str]] = {}
    tasks = []
    for name, task, inner in pipeline.tasks(component):
        waits = task.get("dependentTasks", [])
        implied = set().union(*(earlier[before] for before in waits))
        earlier[name] = implied | set(waits)
        inside = read_tasks(pipeline, inner) if "dag" in inner else []
        tasks.append(Task(name, note_of(task), [before for before in waits if before not in implied], inside))
    return tasks


def note_of(task: Mapping[str, Any]) -> str:
    """What is special about a task, in the names that its author gave: condition, loop, always last."""
    policy = task.get("triggerPolicy", {})
    if condition := policy.get("condition"):
        plain = re.sub(r"inputs\.parameter_values\['(?:pipelinechannel--)?(.+?)'\]", r"\1", condition)
        return f"if {plain}".replace("-Output", "").replace("!(", "not (").replace("&&", "and").replace("||", "or")
    iterator = task.get("parameterIterator") or task.get("artifactIterator")
    if iterator:
        items = iterator["items"].get("inputParameter") or iterator["items"].get("inputArtifact")
        items = (items or iterator["items"].get("raw", "")).removeprefix("pipelinechannel--").removesuffix("-Output")
        return f"for each of {items}"
    return "always, even after a failure" if policy.get("strategy") == ALWAYS_LAST else ""


def show_run(tasks: list[Task], run: Run) -> None:
    """Put a run's states and times on the tasks; what holds others is as they are."""
    steps = {step.name: step for step in run.steps}
    for task in tasks:
        show_run(task.inside, run)
        if task.inside:
            task.state = state_of_all({inner.state for inner in task.inside}, run)
        elif task.name in steps:
            task.state, task.seconds = steps[task.name].state, steps[task.name].seconds


def state_of_all(states: set[StepState | None], run: Run) -> StepState:
    """The state of a condition or a loop, from the states of what is in it."""
    if "failed" in states:
        return "failed"
    if "succeeded" in states and (run.state != "running" or not states & {"pending", "running"}):
        return "succeeded"
    if states & {"running", "succeeded"}:
        return "running"
    return "skipped" if states == {"skipped"} else "pending"


def mermaid_tasks(tasks: list[Task], prefix: str, indent: str) -> Iterator[str]:
    """The lines of Mermaid for some tasks; ids are numbers, because a name may be a word of Mermaid."""
    ids = {task.name: f"{prefix}{number}" for number, task in enumerate(tasks)}
    for task in tasks:
        if task.inside:
            # One line: a second one would lie over what is in the box.
            yield f"{indent}subgraph {ids[task.name]}[{quoted(': '.join(filter(None, (task.label, task.note))))}]"
            yield f"{indent}  direction TB"
            yield from mermaid_tasks(task.inside, f"{ids[task.name]}_", indent + "  ")
            yield f"{indent}end"
            yield f"{indent}style {ids[task.name]} fill:none,stroke:#888888"
        else:
            yield f"{indent}{ids[task.name]}({quoted(task.label, task.note)}):::{task.state or 'pending'}"
    for task in tasks:
        for before in task.waits:
            if before in ids:
                yield f"{indent}{ids[before]} --> {ids[task.name]}"


def text_tasks(tasks: list[Task], indent: str) -> Iterator[str]:
    """The lines of text for some tasks: each with what it waits for, and beneath it what is in it."""
    width = max((len(task.label) for task in tasks), default=0)
    for task in tasks:
        after = f"after {', '.join(task.waits)}" if task.waits else ""
        words = "; ".join(filter(None, (after, task.note)))
        yield f"{indent}{task.label:<{width}}  {words}".rstrip()
        yield from text_tasks(task.inside, indent + "    ")


def quoted(*lines: str) -> str:
    """Lines as a label of Mermaid, in which nothing has a meaning but the line breaks."""
    safe = [re.sub(r"[^\w .,:/+()=·▶✓✗–…↑↓-]", lambda m: f"#{ord(m[0])};", line) for line in lines if line]
    return f'"{"<br/>".join(safe)}"'


def colours() -> list[str]:
    """The lines of Mermaid that say what each kind of box looks like."""
    return [f"  classDef {name} {style}" for name, style in COLOURS.items()]


def live_graph(source: Path | CompiledPipeline | None = None) -> Callable[[Run], None]:
    """A graph that follows a run, for ``on_change`` of `jukebox_helpers.pipelines.following.follow`.

    In a notebook one picture changes in place; elsewhere each finished step gets a line. The same news twice is shown
    once. ``source`` is the compiled YAML that runs; None for what the run runs.
    """
    shown: dict[str, Any] = {}

    def draw(run: Run) -> None:
        from IPython.display import DisplayHandle

        graph = pipeline_graph(source, run)
        handle = shown.get(run.id)
        if handle is None:
            shown[run.id] = handle = DisplayHandle()
            handle.display(graph)
        elif shown["last"] != graph.mermaid:
            handle.update(graph)
        shown["last"] = graph.mermaid

    return draw if draws() else RunProgress(Console())


def draws() -> bool:
    """Whether this code runs in a notebook, whose outputs can be changed in place."""
    from IPython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None
