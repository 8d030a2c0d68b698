"""What a run will need, found before anything starts: as far as its parameters say which steps run."""

from collections.abc import Iterator
from typing import Any

from jukebox_sandbox.pipeline_server.runner.environment import secret_name, secret_values
from jukebox_sandbox.pipeline_server.runner.expressions import WrongExpression, condition
from jukebox_sandbox.pipeline_server.runner.specification import Specification
from jukebox_sandbox.pipeline_server.runner.values import normal
from jukebox_sandbox.pipeline_server.runner.volumes import Volumes, claims
from jukebox_sandbox.state import Sandbox

Known = dict[str, Any]


class LaterOnly(Exception):
    """What a step will give is not known before it has run."""


def check_needs(pipeline: Specification, parameters: Known, sandbox: Sandbox, volumes: Volumes) -> None:
    """Check that the Secrets and volumes are there that a run needs, where their names are known.

    Args:
        pipeline: The pipeline.
        parameters: The run's parameters, with defaults.
        sandbox: Whose Secrets there are.
        volumes: The volume claims.

    Raises:
        SandboxError: If one is missing, by step and name.
    """
    for step, platform, known in steps(pipeline, pipeline.root, parameters):

        def resolve(spec: dict[str, Any], known: Known = known) -> Any:
            return _known(spec, known)

        for entry in platform.get("secretAsEnv", []):
            try:
                name = secret_name(step, entry, resolve)
            except LaterOnly:
                continue
            if name:
                secret_values(step, entry, name, sandbox)
        try:
            volumes.check(step, claims(step, platform, resolve))
        except LaterOnly:
            continue


def steps(
    pipeline: Specification, component: dict[str, Any], known: Known
) -> Iterator[tuple[str, dict[str, Any], Known]]:
    """The steps that may run.

    Args:
        pipeline: The pipeline.
        component: A DAG of it.
        known: Those of the DAG's parameters whose values are known.

    Yields:
        A step's name, what the platform spec says of it, and what is known in the DAG around it.
    """
    for name, task in component["dag"]["tasks"].items():
        inner = pipeline.component(task)
        given = {}
        for parameter, spec in task.get("inputs", {}).get("parameters", {}).items():
            try:
                if "parameterExpressionSelector" not in spec:
                    given[parameter] = _known(spec, known)
            except LaterOnly:
                continue
        text = task.get("triggerPolicy", {}).get("condition")
        try:
            if text and not condition(text)(given):
                continue
        except WrongExpression:
            pass  # it depends on what a step gives
        if "dag" in inner:
            yield from steps(pipeline, inner, given)
        else:
            yield name, pipeline.platform_of(inner["executorLabel"]), known


def _known(spec: dict[str, Any], known: Known) -> Any:
    if "runtimeValue" in spec:
        return normal(spec["runtimeValue"].get("constant"))
    if spec.get("componentInputParameter") in known:
        return known[spec["componentInputParameter"]]
    raise LaterOnly
