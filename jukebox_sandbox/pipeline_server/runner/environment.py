"""What a container would have: the environment of a step, and nothing of this machine."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jukebox_sandbox.errors import SandboxError
from jukebox_sandbox.pipeline_server.runner.values import WrongValue
from jukebox_sandbox.state import Sandbox

PASSED_ON = ("PATH", "LANG", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
"""What a step inherits from this machine: where programs are, and how to get out of the network."""

RUN_ID = "metadata.labels['pipeline/runid']"
"""The label that the API server puts on each pod (backend/src/apiserver/template/v2_template.go)."""

FIELD_PATHS = ("metadata.namespace", "metadata.name", RUN_ID)
"""The fields of a pod that this machine can give."""

Named = Callable[[dict[str, Any]], Any]
"""Resolves an input parameter spec to its value."""


def container_environment(scratch: Path, guard: Path, cache: Path) -> dict[str, str]:
    """What every step has in its environment, as every container has: nothing else of this machine reaches it.

    Args:
        scratch: The step's own folder, which goes with it.
        guard: The folder that hides what the step does not declare.
        cache: Where programs keep what is the same for all steps.

    Returns:
        Values by variable.
    """
    environment = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
    # UTF-8 as in the images, whatever the locale of this machine says.
    environment |= {"PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1", "PYTHONPATH": str(guard)}
    environment |= {"HOME": str(scratch / "home"), "TMPDIR": str(scratch / "tmp")}
    # Matplotlib looks at every font of the machine once, not in every step.
    environment["MPLCONFIGDIR"] = str(cache / "matplotlib")
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', os.defpath)}"
    return environment


def service_token(sandbox: Sandbox, folder: Path) -> dict[str, str]:
    """Give a step its token of the pipeline server as a pod gets it: in a file that a variable names."""
    file = sandbox.state / "secrets" / "pipeline-server" / "token"
    if not file.is_file():
        return {}
    token = folder / "token"
    token.touch(0o600)
    token.write_text(file.read_text())
    return {"KF_PIPELINES_SA_TOKEN_PATH": str(token)}


def secret_name(step: str, entry: dict[str, Any], resolve: Named) -> str:
    """The name of the Secret in an entry of ``secretAsEnv``; empty if it is not given.

    Args:
        step: The step's name, for the message.
        entry: The entry.
        resolve: Resolves the name if an input gives it.

    Returns:
        The name.

    Raises:
        SandboxError: If it is not a name.
    """
    if "secretNameParameter" not in entry:
        return entry.get("secretName", "")
    value = resolve(entry["secretNameParameter"])
    if value is None:
        return ""
    if not isinstance(value, str) or not value:
        raise SandboxError(f"Step {step!r} takes the name of a Secret from an input, and gets {value!r}.", "Give one.")
    return value


def secret_values(step: str, entry: dict[str, Any], name: str, sandbox: Sandbox) -> dict[str, str]:
    """The variables that an entry of ``secretAsEnv`` gives a step.

    Args:
        step: The step's name, for the message.
        entry: The entry.
        name: The Secret's name.
        sandbox: Whose Secrets there are.

    Returns:
        Values by variable.

    Raises:
        SandboxError: If the Secret or a key of it is missing, by name.
    """
    if "/" in name or name.startswith("."):
        raise SandboxError(
            f"Step {step!r} needs the Secret {name!r}, which is not the name of a Secret.", "Correct it."
        )
    optional = bool(entry.get("optional"))
    try:
        secret = sandbox.secret(name)
    except SandboxError as error:
        if optional:
            return {}
        raise SandboxError(f"Step {step!r}: {error.what}", error.next_action) from None
    values = {}
    for pair in entry["keyToEnv"]:
        if pair["secretKey"] in secret:
            values[pair["envVar"]] = secret[pair["secretKey"]]
        elif not optional:
            raise SandboxError(
                f"Step {step!r} needs the key {pair['secretKey']!r}, and Secret {name!r} has none.",
                f"It has: {', '.join(secret)}. Add the key, or correct the step's use_secret_as_env.",
            )
    return values


def declared_environment(
    step: str,
    container: dict[str, Any],
    platform: dict[str, Any],
    sandbox: Sandbox,
    resolve: Named,
    pod: str,
    run_id: str,
) -> dict[str, str]:
    """The variables that the pipeline gives a step: its own, and those of the platform spec.

    What the platform spec gives comes after the step's own, and of two that share a name the later one counts
    (https://github.com/kubeflow/pipelines/blob/master/backend/src/v2/driver/k8s.go).

    Args:
        step: The step's name, for messages.
        container: Its container.
        platform: What the platform spec says of it.
        sandbox: Whose Secrets there are.
        resolve: Resolves a name that an input gives.
        pod: The name of its pod.
        run_id: The run.

    Returns:
        Values by variable.

    Raises:
        SandboxError: If a Secret or a key is missing, by name.
    """
    environment = {entry["name"]: str(entry.get("value", "")) for entry in container.get("env", [])}
    for entry in platform.get("secretAsEnv", []):
        try:
            name = secret_name(step, entry, resolve)
        except WrongValue as error:
            raise SandboxError(f"Step {step!r}: the name of a Secret: {error}.", "Give one.") from None
        if name:
            environment |= secret_values(step, entry, name, sandbox)
    given = {"metadata.namespace": sandbox.namespace, "metadata.name": pod, RUN_ID: run_id}
    for entry in platform.get("fieldPathAsEnv", []):
        environment[entry["name"]] = given[entry["fieldPath"]]
    return environment
