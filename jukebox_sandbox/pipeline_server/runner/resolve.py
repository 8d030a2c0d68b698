"""How the inputs of a task are found and checked, as `backend/src/v2/driver/resolve.go` does."""

import json
from dataclasses import dataclass, field
from typing import Any

from jukebox_sandbox.pipeline_server.runner.expressions import WrongExpression, select
from jukebox_sandbox.pipeline_server.runner.graph import Dag, output, producer
from jukebox_sandbox.pipeline_server.runner.values import WrongValue, fitting, normal


@dataclass(frozen=True)
class Names:
    """What the placeholders of a run stand for; `task` and `dag` differ from task to task."""

    run_id: str
    display_name: str
    resource: str
    created: str
    scheduled: str
    task: str = ""
    dag: str = ""

    def constant(self, value: Any) -> Any:
        """A constant of the pipeline, which may be a placeholder as a whole."""
        if not isinstance(value, str):
            return value
        return {
            "{{$.pipeline_job_name}}": self.display_name,
            "{{$.pipeline_job_resource_name}}": self.resource,
            "{{$.pipeline_job_uuid}}": self.run_id,
            "{{$.pipeline_task_name}}": self.task,
            "{{$.pipeline_task_uuid}}": self.dag,
            "{{$.pipeline_job_create_time_utc}}": self.created,
            "{{$.pipeline_job_schedule_time_utc}}": self.scheduled,
        }.get(value, value)


def parameter(spec: dict[str, Any], dag: Dag, task: dict[str, Any], names: Names) -> Any:
    """The value of an input parameter.

    Args:
        spec: Its input parameter spec.
        dag: The DAG that the task is in.
        task: The task.
        names: What placeholders stand for.

    Returns:
        The value; None if it is the DAG's own parameter, and that was not given.

    Raises:
        WrongValue: If there is none.
    """
    if "componentInputParameter" in spec:
        name = spec["componentInputParameter"]
        if name not in dag.inputs:
            raise WrongValue(f"the DAG around it has no input parameter {name!r}")
        return dag.inputs[name]
    if "taskOutputParameter" in spec:
        wanted = spec["taskOutputParameter"]
        return output(producer(dag, wanted["producerTask"]), wanted["outputParameterKey"], "parameters")
    if "runtimeValue" in spec:
        return normal(names.constant(spec["runtimeValue"].get("constant")))
    if "taskFinalStatus" in spec:
        before = producer(dag, task["dependentTasks"][0])
        return {
            "state": before.state,
            "pipelineJobResourceName": names.resource,
            "pipelineTaskName": before.name,
            "error": {},
        }
    raise WrongValue(f"an input parameter of the kind {', '.join(spec)} is not known")


def artifacts(spec: dict[str, Any], dag: Dag) -> list[dict[str, Any]]:
    """The artifacts of an input; WrongValue if there are none."""
    if "componentInputArtifact" in spec:
        name = spec["componentInputArtifact"]
        if name not in dag.input_artifacts:
            raise WrongValue(f"the DAG around it has no input artifact {name!r}")
        return dag.input_artifacts[name]
    wanted = spec["taskOutputArtifact"]
    return output(producer(dag, wanted["producerTask"]), wanted["outputArtifactKey"], "artifacts")


@dataclass
class Inputs:
    """What a task is given."""

    parameters: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def resolve(task: dict[str, Any], component: dict[str, Any], dag: Dag, names: Names) -> Inputs:
    """Find the inputs of a task, and check that they have the types that its component wants.

    Args:
        task: The task.
        component: Its component.
        dag: The DAG that it is in.
        names: What placeholders stand for.

    Returns:
        The inputs. Defaults of a step are not among them: the step's own code has them.

    Raises:
        WrongValue: If one is missing or does not fit.
    """
    wanted = component.get("inputDefinitions", {}).get("parameters", {})
    given = task.get("inputs", {})
    found = Inputs()
    not_given = _defaults(component, given, found) if "dag" in component else set()
    for name, spec in given.get("parameters", {}).items():
        value = parameter(spec, dag, task, names)
        if value is None and "componentInputParameter" in spec:
            if wanted.get(name, {}).get("isOptional"):
                continue  # the step's own code has the default
            raise WrongValue(f"the resolved input parameter is null: {spec['componentInputParameter']}")
        literals = wanted.get(name, {}).get("literals")
        if literals and value not in literals:
            raise WrongValue(f"input parameter {name!r} is {value!r}, and may be one of {literals}")
        found.parameters[name] = value
    for name, spec in given.get("artifacts", {}).items():
        found.artifacts[name] = artifacts(spec, dag)
    for name, spec in given.get("parameters", {}).items():
        if selector := spec.get("parameterExpressionSelector"):
            try:
                found.parameters[name] = normal(select(found.parameters.get(name), selector))
            except WrongExpression as error:
                raise WrongValue(f"resolving parameter {name!r}: {error}") from None
    skipped = task.get("parameterIterator", {}).get("itemInput")
    check_types(found.parameters, wanted, not_given, {skipped} if skipped else set())
    return found


def _defaults(component: dict[str, Any], given: dict[str, Any], found: Inputs) -> set[str]:
    """Add the defaults of a pipeline inside the pipeline; those that stay without a value."""
    without = set()
    for name, spec in component.get("inputDefinitions", {}).get("parameters", {}).items():
        if name not in given.get("parameters", {}) and spec.get("isOptional"):
            found.parameters[name] = normal(spec.get("defaultValue"))
            if found.parameters[name] is None:
                without.add(name)
    return without


def check_types(parameters: dict[str, Any], wanted: dict[str, Any], not_given: set[str], skipped: set[str]) -> None:
    """Check values against the input definitions of a component; a STRING takes any value, as text.

    Args:
        parameters: The values; changed in place.
        wanted: The input definitions.
        not_given: Those that are null because nobody gave them.
        skipped: Those that this task does not have.

    Raises:
        WrongValue: If one is missing or does not fit.
    """
    for name, spec in wanted.items():
        if name in skipped:
            continue
        if name in parameters:
            parameters[name] = fitting(name, parameters[name], spec["parameterType"], name in not_given)
        elif not spec.get("isOptional"):
            if spec.get("defaultValue") is None:
                raise WrongValue(f"neither value nor default value provided for non-optional parameter {name!r}")
            # What the driver compares is then no value at all, which is text, but nothing else.
            if spec["parameterType"] != "STRING":
                raise WrongValue(f"parameter {name!r} has no value")
            parameters[name] = ""


def items_of(task: dict[str, Any], inputs: Inputs) -> tuple[list[Any], str]:
    """What a loop goes over.

    Args:
        task: The loop's task.
        inputs: Its inputs; constant items are added to them.

    Returns:
        The items, and the name of the input that holds them.

    Raises:
        WrongValue: If they are no list.
    """
    iterator = task["parameterIterator"]
    if "inputParameter" in iterator["items"]:
        name = iterator["items"]["inputParameter"]
        if name not in inputs.parameters:
            raise WrongValue(f"iterating on item input {iterator['itemInput']!r}: cannot find input parameter")
    else:
        name = iterator["itemInput"]
        inputs.parameters[name] = normal(json.loads(iterator["items"]["raw"]))
    value = inputs.parameters[name]
    if isinstance(value, str):
        try:
            value = normal(json.loads(value))
        except ValueError as error:
            raise WrongValue(f"iterating on item input {iterator['itemInput']!r}: {error}") from None
        value = value if isinstance(value, list) else []
    if not isinstance(value, list):
        raise WrongValue(f"a value of type {type(value).__name__} cannot be iterated")
    return value, name


def iteration_inputs(task: dict[str, Any], component: dict[str, Any], inputs: Inputs, items: str, item: Any) -> Inputs:
    """What one iteration of a loop is given.

    Args:
        task: The loop's task.
        component: Its component.
        inputs: The loop's inputs.
        items: The name of the input that holds the items.
        item: This iteration's item.

    Returns:
        The inputs.

    Raises:
        WrongValue: If the item does not have the type that the component wants.
    """
    iterator = task["parameterIterator"]
    parameters = {name: value for name, value in inputs.parameters.items() if name != items}
    parameters[iterator["itemInput"]] = item
    wanted = component.get("inputDefinitions", {}).get("parameters", {})
    skipped = {iterator["items"]["inputParameter"]} if "inputParameter" in iterator["items"] else set()
    check_types(parameters, wanted, set(), skipped - {iterator["itemInput"]})
    return Inputs(parameters, inputs.artifacts)
