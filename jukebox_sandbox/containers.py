"""What a container would have: the environment of a step, its packages, and nothing of this machine."""

import copy
import os
import re
import shlex
import sys
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from jukebox_sandbox.compiled import CompiledPipeline
from jukebox_sandbox.errors import SandboxError
from jukebox_sandbox.state import read_secret, write_secret

PASSED_ON = ("PATH", "LANG", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
"""What a step inherits from this machine: where programs are, and how to get out of the network."""


DECLARED = re.compile(r"^[A-Za-z0-9][\w.-]*(\[[^]]*\])?[=<>~!]=")


@dataclass(frozen=True)
class Order:
    """What is to be run, and for which platform.

    Attributes:
        pipeline: The compiled YAML.
        arguments: The pipeline's arguments.
        runs: The folder that keeps a folder for each run.
        namespace: The project.
        steps: The names of the steps, in order.
        state: The sandbox whose Secrets the steps get; empty in a workbench, whose environment has their values.
        variables: What else every step has in its environment: addresses of the platform, no secrets.
        check: Only check that the run could start.
    """

    pipeline: str
    arguments: dict[str, Any]
    runs: str
    namespace: str
    steps: list[str] = field(default_factory=list)
    state: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    check: bool = False

    def secret(self, name: str) -> dict[str, str]:
        """The values of a Secret by key; SandboxError if the platform has none of that name."""
        return read_secret(Path(self.state), name) if self.state else dict(os.environ)


def step_environment(order: Order, scratch: Path) -> dict[str, str]:
    """What every step has in its environment, as a container would: nothing else of this machine reaches it.

    Args:
        order: What is run.
        scratch: A fresh folder: the home of the steps.

    Returns:
        Values by variable.
    """
    environment = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
    # UTF-8 as in the images, whatever the locale of this machine says.
    environment |= {"HOME": str(scratch), "TMPDIR": str(scratch), "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}
    # Matplotlib looks at every font of the machine once, not in every run.
    environment["MPLCONFIGDIR"] = str(Path(order.runs).parent / "matplotlib")
    environment["PYTHONPATH"] = str(hide_jukebox(scratch))
    if order.state and (token := Path(order.state, "secrets", "pipeline-server", "token")).is_file():
        # As a pod has its service account's token: in a file, which the clients know by this name.
        write_secret(scratch / "serviceaccount", {"token": token.read_text()})
        environment["KF_PIPELINES_SA_TOKEN_PATH"] = str(scratch / "serviceaccount" / "token")
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', os.defpath)}"
    return environment | order.variables


def check_packages(pipeline: CompiledPipeline, strict: bool) -> None:
    """Check that this environment has the packages that the steps would install in a cluster.

    Args:
        pipeline: The pipeline.
        strict: Whether the versions must be the same, too.

    Raises:
        SandboxError: If one is missing, by name.
    """
    for label, container in pipeline.executors.items():
        words = [word for part in container["command"][:-1] if "pip install" in part for word in shlex.split(part)]
        for text in filter(DECLARED.match, words):
            requirement = Requirement(text)
            if requirement.marker and not requirement.marker.evaluate():
                continue
            try:
                version = metadata.version(requirement.name)
            except metadata.PackageNotFoundError:
                version = "no version"
            if version == "no version" or (strict and version not in requirement.specifier):
                raise SandboxError(
                    f"Step {label.removeprefix('exec-')!r} declares {text}, but this environment has {version} of it.",
                    "Run the pipeline through ./jukebox, which installs requirements.txt; "
                    "after a change of requirements.txt, compile the pipelines again with ./jukebox compile.",
                )


def container_env(pipeline: CompiledPipeline, executor: str, order: Order) -> dict[str, str]:
    """The environment that the platform spec gives a step: the values of its secrets and field paths.

    Args:
        pipeline: The pipeline.
        executor: The step's executor label.
        order: What is run, for which platform.

    Returns:
        Values by variable.

    Raises:
        SandboxError: If a secret, a key or a field path is missing, by name.
    """
    step = executor.removeprefix("exec-")
    platform = pipeline.platform_of(executor)
    environment = {}
    for entry in platform.get("secretAsEnv", []):
        try:
            secret = order.secret(entry["secretName"])
        except SandboxError as error:
            raise SandboxError(f"Step {step!r}: {error.what}", error.next_action) from None
        for pair in entry["keyToEnv"]:
            if pair["secretKey"] not in secret:
                has = f"It has: {', '.join(secret)}. " if order.state else ""
                raise SandboxError(
                    f"Step {step!r} needs the key {pair['secretKey']!r}, and Secret {entry['secretName']!r} has none.",
                    f"{has}Add the key, or correct the step's use_secret_as_env.",
                )
            environment[pair["envVar"]] = secret[pair["secretKey"]]
    for entry in platform.get("fieldPathAsEnv", []):
        if entry["fieldPath"] != "metadata.namespace":
            raise SandboxError(
                f"Step {step!r} asks for the field path {entry['fieldPath']!r}, which this machine does not have.",
                "Use metadata.namespace, or run the pipeline in the cluster.",
            )
        environment[entry["name"]] = order.namespace
    return environment


def with_environments(spec: dict[str, Any], environments: dict[str, dict[str, str]]) -> dict[str, Any]:
    """A copy of a pipeline spec for this machine: each container with its environment and without ``pip install``.

    What the platform spec gives comes after the step's own variables, and of two that share a name the later one
    counts, as KFP's driver and Kubernetes have it
    (https://github.com/kubeflow/pipelines/blob/master/backend/src/v2/driver/k8s.go).
    """
    spec = copy.deepcopy(spec)
    for label, executor in spec["deploymentSpec"]["executors"].items():
        container = executor["container"]
        own = {entry["name"]: entry.get("value", "") for entry in container.get("env", [])}
        both = own | environments[label]
        container["env"] = [{"name": name, "value": value} for name, value in both.items()]
        if "pip install" in container["command"][2]:
            container["command"] = container["command"][3:]
    return spec


def hide_jukebox(folder: Path) -> Path:
    """Make Jukebox as absent for the steps as it is in a cluster, where only their own source travels."""
    hidden = folder / "python"
    hidden.mkdir()
    for package in ("jukebox_helpers", "jukebox_sandbox"):
        (hidden / f"{package}.py").write_text(
            f"raise ImportError('a step runs in a container without {package}: let its functions travel')\n"
        )
    return hidden
