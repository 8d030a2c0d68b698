"""What the runner cannot do, refused before anything starts: by step and feature, in a sentence."""

import re
from typing import Any

from jukebox_sandbox.errors import SandboxError
from jukebox_sandbox.pipeline_server.runner.environment import FIELD_PATHS
from jukebox_sandbox.pipeline_server.runner.expressions import WrongExpression, condition, fields
from jukebox_sandbox.pipeline_server.runner.packages import check_packages, declared
from jukebox_sandbox.pipeline_server.runner.specification import Specification, read_specification

IN_A_CLUSTER = "Run the pipeline in a cluster, or leave this out."
LIGHTWEIGHT = re.compile(
    r'program_path=\$\(mktemp -d\) printf "%s" "\$0" > "\$program_path/ephemeral_component\.py" '
    r"_KFP_RUNTIME=true python3 -m kfp\.(?:dsl|components)\.executor_main "
    r'--component_module_path "\$program_path/ephemeral_component\.py" "\$@"'
)
"""The script with which KFP's compiler starts a Python function."""

PLACEMENT = {
    "secretAsEnv", "fieldPathAsEnv", "pvcMount", "activeDeadlineSeconds",
    # Where a pod runs, how its image is fetched, and what is written on it: none of this reaches a step.
    "nodeSelector", "podMetadata", "imagePullSecret", "imagePullPolicy", "tolerations", "nodeAffinity", "podAffinity",
}  # fmt: skip
"""What of the platform spec this machine does, or need not do."""


def check(text: str) -> Specification:
    """Refuse a pipeline that this machine cannot run.

    Args:
        text: The compiled YAML.

    Returns:
        The pipeline, if it can be run.

    Raises:
        SandboxError: By step and feature, in a sentence.
    """
    pipeline = read_specification(text)
    try:
        _check(pipeline)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise SandboxError(
            f"This is not a pipeline that KFP's compiler has made: {type(error).__name__}: {error}.",
            "Compile it again.",
        ) from error
    return pipeline


def _check(pipeline: Specification) -> None:
    for feature, value in pipeline.kubernetes.get("pipelineConfig", {}).items():
        if value and feature not in ("resourceTtl", "pipelineTtl"):
            raise SandboxError(f"The pipeline's configuration has {feature!r}: this machine does not.", IN_A_CLUSTER)
    for label, executor in pipeline.executors.items():
        step = label.removeprefix("exec-")
        check_executor(step, executor)
        check_platform(step, pipeline.platform_of(label))
        check_packages(step, declared(step, executor["container"]["command"]))
    for component in (pipeline.root, *pipeline.spec.get("components", {}).values()):
        for name, spec in component.get("inputDefinitions", {}).get("parameters", {}).items():
            if spec.get("parameterType") == "TASK_CONFIG":
                raise SandboxError(f"The input {name!r} is a dsl.TaskConfig: there are no pods here.", IN_A_CLUSTER)
        for name, task in component.get("dag", {}).get("tasks", {}).items():
            check_task(name, task)


def check_executor(step: str, executor: dict[str, Any]) -> None:
    """Refuse what is not a Python function.

    Args:
        step: The step's name.
        executor: What runs.

    Raises:
        SandboxError: If it is something else.
    """
    kinds = {
        "importer": "an importer",
        "resolver": "a resolver",
        "customJob": "a custom job of Google Cloud",
    }
    for kind, words in kinds.items():
        if kind in executor:
            raise SandboxError(f"Step {step!r} is {words}, which this machine cannot run.", IN_A_CLUSTER)
    container = executor.get("container", {})
    if container.get("image", "").startswith("argostub/"):
        raise SandboxError(
            f"Step {step!r} makes or deletes a volume claim, which this machine cannot do.", IN_A_CLUSTER
        )
    command = container.get("command", [])
    script = " ".join(command[-2].split()) if len(command) >= 4 else ""
    if not LIGHTWEIGHT.search(script) or "{{$}}" not in container.get("args", []):
        raise SandboxError(
            f"Step {step!r} is a container component: it runs the program {' '.join(command)[:60]!r} of the image "
            f"{container.get('image', '')!r}, and this machine runs Python functions only.",
            "Write the step as a function with @dsl.component, or run the pipeline in a cluster.",
        )
    if (container.get("resources") or {}).get("accelerator"):
        raise SandboxError(f"Step {step!r} asks for an accelerator: this machine gives none.", IN_A_CLUSTER)


def check_platform(step: str, platform: dict[str, Any]) -> None:
    """Refuse what the platform spec asks for and this machine does not have.

    Args:
        step: The step's name.
        platform: What the platform spec says of it.

    Raises:
        SandboxError: If there is such a thing, by name.
    """
    for feature, value in platform.items():
        if value and feature not in PLACEMENT:
            words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", feature).lower()
            raise SandboxError(
                f"Step {step!r} asks for {words} ({feature} in the platform spec), which this machine does not have.",
                IN_A_CLUSTER,
            )
    for entry in platform.get("fieldPathAsEnv", []):
        if entry["fieldPath"] not in FIELD_PATHS:
            raise SandboxError(
                f"Step {step!r} asks for the field path {entry['fieldPath']!r}, which this machine does not have.",
                f"It has {' and '.join(FIELD_PATHS)}; or run the pipeline in a cluster.",
            )


def check_task(name: str, task: dict[str, Any]) -> None:
    """Refuse conditions, loops and selectors that the runner cannot read.

    Args:
        name: The task's name.
        task: The task.

    Raises:
        SandboxError: If there is such a thing.
    """
    if "artifactIterator" in task:
        raise SandboxError(
            f"The loop {name!r} goes over artifacts, which no server of Kubeflow Pipelines can do.",
            "Loop over parameters.",
        )
    try:
        if text := task.get("triggerPolicy", {}).get("condition"):
            condition(text)
        for spec in task.get("inputs", {}).get("parameters", {}).values():
            if selector := spec.get("parameterExpressionSelector"):
                fields(selector)
    except WrongExpression as error:
        raise SandboxError(
            f"Task {name!r} has an expression that cannot be read here: {error}.", IN_A_CLUSTER
        ) from None
