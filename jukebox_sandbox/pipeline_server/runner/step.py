"""One step: what it is given, its process, and what becomes of its outputs."""

import asyncio
import copy
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jukebox_sandbox.errors import SandboxError
from jukebox_sandbox.pipeline_server.runner.artifacts import Store, as_ml_metadata_returns, local_path
from jukebox_sandbox.pipeline_server.runner.pods import Need, Pods
from jukebox_sandbox.pipeline_server.runner.resolve import Inputs
from jukebox_sandbox.pipeline_server.runner.values import WrongValue, normal, text_of, value_of
from jukebox_sandbox.pipeline_server.runner.volumes import Volumes
from jukebox_sandbox.pipeline_server.tables import Artifact
from jukebox_sandbox.state import Sandbox

PARAMETER = re.compile(r"\{\{\$\.inputs\.parameters\['(.+?)'\]\}\}")


class StepFailed(Exception):
    """A step did not end well."""


@dataclass(frozen=True)
class Facilities:
    """What all steps share.

    Attributes:
        sandbox: Whose Secrets there are.
        folder: Holds ``logs``.
        pods: What steps run in.
        store: The S3 server.
        volumes: The volume claims.
    """

    sandbox: Sandbox
    folder: Path
    pods: Pods
    store: Store
    volumes: Volumes


@dataclass(frozen=True)
class Step:
    """A step whose inputs are resolved.

    Attributes:
        name: Its name in its DAG.
        run_id: The run.
        component: Its component.
        container: Its container.
        platform: What the platform spec says of it.
        inputs: Its inputs.
        root: Where the artifacts of its task go.
        mounts: The volume claims that it mounts, and where.
    """

    name: str
    run_id: str
    component: dict[str, Any]
    container: dict[str, Any]
    platform: dict[str, Any]
    inputs: Inputs
    root: str
    mounts: list[tuple[str, str]]


@dataclass
class Outputs:
    """What a step gave: values by parameter, artifacts by name."""

    parameters: dict[str, Any]
    artifacts: dict[str, Artifact]


def input_part(inputs: Inputs) -> dict[str, Any]:
    """The inputs of an executor input."""
    listed = {name: {"artifacts": given} for name, given in inputs.artifacts.items()}
    return {"parameterValues": normal(inputs.parameters), "artifacts": listed}


def executor_input(step: Step, scratch: Path) -> dict[str, Any]:
    """What the launcher tells a step: its inputs, and where its outputs go.

    Args:
        step: The step.
        scratch: Its own folder.

    Returns:
        The executor input, without the defaults of inputs that are not given.
    """
    outputs = step.component.get("outputDefinitions", {})
    return {
        "inputs": input_part(step.inputs),
        "outputs": {
            "parameters": {
                name: {"outputFile": str(scratch / "outputs" / name)} for name in outputs.get("parameters", {})
            },
            "artifacts": {
                name: {
                    "artifacts": [
                        {
                            "name": name,
                            "type": spec["artifactType"],
                            "uri": f"{step.root}/{name}",
                            "metadata": normal(spec.get("metadata", {})),
                        }
                    ]
                }
                for name, spec in outputs.get("artifacts", {}).items()
            },
            "outputFile": str(local_path(step.root, scratch / "mounts") / "output_metadata.json"),
        },
    }


def arguments(step: Step, told: dict[str, Any], scratch: Path) -> list[str]:
    """The arguments of a step's command, with its placeholders filled in as the driver and the launcher do.

    Args:
        step: The step.
        told: Its executor input.
        scratch: Its own folder.

    Returns:
        The arguments.
    """
    filled = copy.deepcopy(told)
    values = filled["inputs"]["parameterValues"]
    for name, spec in step.component.get("inputDefinitions", {}).get("parameters", {}).items():
        if spec.get("defaultValue") is not None:
            values.setdefault(name, normal(spec["defaultValue"]))
    known = {f"{{{{$.inputs.parameters['{name}']}}}}": text_of(value) for name, value in values.items()}
    for side in ("inputs", "outputs"):
        for name, listed in filled[side]["artifacts"].items():
            if listed["artifacts"]:
                uri = listed["artifacts"][0]["uri"]
                known[f"{{{{$.{side}.artifacts['{name}'].uri}}}}"] = uri
                known[f"{{{{$.{side}.artifacts['{name}'].path}}}}"] = str(local_path(uri, scratch / "mounts"))
    for name, spec in filled["outputs"]["parameters"].items():
        known[f"{{{{$.outputs.parameters['{name}'].output_file}}}}"] = spec["outputFile"]
    found = []
    for word in step.container.get("args", []):
        text = word.replace("{{$}}", json.dumps(filled, ensure_ascii=False))
        for placeholder, value in known.items():
            text = text.replace(placeholder, value)
        found.append(text)
    return found


async def execute(step: Step, facilities: Facilities, pod_name: str, variables: dict[str, str]) -> Outputs:
    """Run a step: fetch its inputs, run its process, store its outputs.

    Args:
        step: The step.
        facilities: What all steps share.
        pod_name: The name of its pod, which is that of its log.
        variables: The variables that the pipeline gives it.

    Returns:
        What it gave.

    Raises:
        StepFailed: If it ended badly, or what it wrote cannot be kept.
        SandboxError: If S3 cannot be reached.
    """
    need = Need(step.name, step.container["command"], variables)
    pod = await facilities.pods.take(step.run_id, pod_name, need)
    try:
        told = executor_input(step, pod.folder)
        await asyncio.to_thread(_fetch, step, facilities.store, pod.folder / "mounts")
        log = facilities.folder / "logs" / step.run_id / f"{pod_name}.log"
        log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        order = {
            "log": str(log),
            "source": step.container["command"][-1],
            "arguments": arguments(step, told, pod.folder),
        }
        seconds = step.platform.get("activeDeadlineSeconds")
        try:
            code = await facilities.pods.processes.run(pod.started, order, float(seconds) if seconds else None)
        except TimeoutError:
            raise StepFailed(f"it took longer than the {seconds} seconds that the pipeline allows") from None
        if code:
            ended = f"ended with exit code {code}" if code > 0 else f"was ended by signal {-code}"
            raise StepFailed(f"its process {ended}; its log says why")
        return await asyncio.to_thread(_collect, step, told, facilities.store, pod.folder)
    finally:
        await asyncio.shield(facilities.pods.end(pod))


def _fetch(step: Step, store: Store, mounts: Path) -> None:
    for listed in step.inputs.artifacts.values():
        for artifact in listed:
            try:
                path = local_path(artifact["uri"], mounts)
            except SandboxError:
                continue  # an address that only the step itself can read, as in the cluster
            store.download(artifact["uri"], path)


def _collect(step: Step, told: dict[str, Any], store: Store, scratch: Path) -> Outputs:
    """Take what a step has written: values, facts, files."""
    try:
        written = _written(Path(told["outputs"]["outputFile"]))
        parameters = written.get("parameterValues", {})
        definitions = step.component.get("outputDefinitions", {})
        for name, spec in definitions.get("parameters", {}).items():
            if name not in parameters:
                parameters[name] = _from_file(name, spec, Path(told["outputs"]["parameters"][name]["outputFile"]))
        artifacts = {}
        for name, listed in told["outputs"]["artifacts"].items():
            own = listed["artifacts"][0]
            given = (written.get("artifacts", {}).get(name, {}).get("artifacts") or [{}])[0]
            uri = given.get("uri") or own["uri"]
            facts = as_ml_metadata_returns(name, {**own["metadata"], **(given.get("metadata") or {})})
            custom = given.get("custom_path") or given.get("customPath")
            try:
                path = Path(custom) if custom else local_path(uri, scratch / "mounts")
                store.upload(path, uri)
            except SandboxError:
                if uri == own["uri"]:
                    raise
            kind = own["type"].get("schemaTitle", "system.Artifact")
            artifacts[name] = Artifact(run_id=step.run_id, name=name, type=kind, uri=uri, custom_properties=facts)
    except WrongValue as error:
        raise StepFailed(str(error)) from None
    return Outputs(normal(parameters), artifacts)


def _written(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}

    def refuse(constant: str) -> None:
        raise WrongValue(f"an output or a fact is {constant}, which is not a number in JSON")

    try:
        return json.loads(file.read_text(), parse_constant=refuse)
    except ValueError as error:
        raise WrongValue(f"what it says of its outputs is not JSON: {error}") from None


def _from_file(name: str, spec: dict[str, Any], file: Path) -> Any:
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise WrongValue(f"the output {name!r} was not written: {error}") from None
    return value_of(text, spec["parameterType"])


def as_input(artifact: Artifact) -> dict[str, Any]:
    """An artifact as the driver hands it to the next step."""
    return {
        "name": str(artifact.id),
        "uri": artifact.uri,
        "type": {"instanceSchema": ""},
        "metadata": artifact.custom_properties,
    }
