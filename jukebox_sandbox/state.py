"""The state folder of a sandbox: its description for others, its secrets, the version of its format."""

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from jukebox_sandbox.configuration import Configuration
from jukebox_sandbox.errors import SandboxError

VERSION = "2"
SCHEMA = 1
"""The format of ``platform.json``."""

USER = "user1"
NAMESPACE = f"{USER}-toolings"

KEPT = (
    "events", "events.jsonl", "git", "jupyterlab", "kit", "models", "pipeline-server", "platform.json",
    "ports.json", "refused.json", "s3", "secrets", "supervisor.lock", "supervisor.log", "tables", "version", "work",
)  # fmt: skip
"""What a state folder of this version holds; an older one has it in the same form."""

OLDER_REGISTRY = f"before-{VERSION}/registry/registry.db"
"""MLflow's file in a state of version 1, after it was moved aside."""


@dataclass(frozen=True)
class Sandbox:
    """One sandbox, as its parts know it.

    Attributes:
        state: The state folder.
        base_url: The address of git, its pages, the listener and the model registry.
        s3_endpoint: URL of the S3 server.
        namespace: The project; the user is what comes before its first hyphen.
    """

    state: Path
    base_url: str
    s3_endpoint: str
    namespace: str = NAMESPACE

    @property
    def user(self) -> str:
        """Whose repositories these are."""
        return self.namespace.split("-")[0]

    @property
    def registry(self) -> str:
        """The address of the model registry."""
        return self.base_url

    def repository_url(self, name: str) -> str:
        """The address of a repository, without a password."""
        return f"{self.base_url}/{self.user}/{name}.git"

    def secret(self, name: str) -> dict[str, str]:
        """The values of a Secret by key; SandboxError if there is none of that name."""
        return read_secret(self.state, name)


def clones(state: Path, configuration: Configuration) -> dict[str, str]:
    """The folders of the attendee's clones by repository."""
    return {name: str(state / "work" / name) for name in configuration.repositories}


def describe(sandbox: Sandbox, configuration: Configuration) -> None:
    """Write ``platform.json``, which says to everybody that the sandbox answers, and where. It holds no secret."""
    known = {
        "schema": SCHEMA,
        "pid": os.getpid(),
        "namespace": sandbox.namespace,
        "base_url": sandbox.base_url,
        "s3_endpoint": sandbox.s3_endpoint,
        "registry": sandbox.registry,
        "pipeline_server": sandbox.base_url,
        "clones": clones(sandbox.state, configuration),
    }
    partial = sandbox.state / "platform.json.partial"
    partial.write_text(json.dumps(known, indent=1) + "\n")
    partial.rename(sandbox.state / "platform.json")


def read_sandbox(state: Path) -> Sandbox:
    """Read the description of a running sandbox.

    Args:
        state: The state folder.

    Returns:
        The sandbox.

    Raises:
        SandboxError: If none is running there.
    """
    try:
        known = json.loads((state / "platform.json").read_text())
        return Sandbox(state, known["base_url"], known["s3_endpoint"], known["namespace"])
    except (FileNotFoundError, ValueError, KeyError):
        raise SandboxError(f"No sandbox is running in {state}.", "Start it: ./jukebox up.") from None


def write_secret(folder: Path, values: dict[str, str]) -> None:
    """Write a secret as Kubernetes mounts it, readable by this user only. Nobody sees one that is not whole.

    Args:
        folder: The secret's folder, named as the secret.
        values: The values by key.
    """
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(prefix=".", dir=folder.parent, ignore_cleanup_errors=True) as beside:
        new = Path(beside, folder.name)
        new.mkdir(mode=0o700)
        for key, value in values.items():
            descriptor = os.open(new / key, os.O_WRONLY | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(value)
        try:
            new.rename(folder)
        except OSError:  # it is there already
            for key in values:
                (new / key).replace(folder / key)


def is_written(file: Path) -> bool:
    """Whether a secret is there, and not empty, as a start that was killed leaves it: anybody knows an empty one."""
    return file.is_file() and file.stat().st_size > 0


def read_secret(state: Path, name: str) -> dict[str, str]:
    """Read a Secret.

    Args:
        state: The state folder.
        name: The secret's name.

    Returns:
        Its values by key.

    Raises:
        SandboxError: If there is none.
    """
    folder = state / "secrets" / name
    if not folder.is_dir():
        bucket = name.removeprefix("aws-connection-")
        raise SandboxError(
            f"There is no Secret {name!r}.",
            f"Add the bucket {bucket!r} to mlops-gitops/toolings/minio/config.yaml, commit and push it: "
            "each bucket comes with its connection."
            if bucket != name
            else f"The Secrets are: {', '.join(sorted(one.name for one in folder.parent.glob('[!.]*'))) or 'none'}.",
        )
    # As Kubernetes mounts a Secret, there are folders beside the keys, "..data" among them.
    return {file.name: file.read_text() for file in sorted(folder.iterdir()) if file.is_file()}


def bring_up_to_date(state: Path) -> str:
    """Bring an older state folder to this version's format.

    What is kept in the same form stays: git, S3, models, secrets, clones, runs. The rest moves aside, readable.

    Args:
        state: The state folder.

    Returns:
        What was done, in a sentence; empty where there was nothing to do.

    Raises:
        SandboxError: If the state is of a newer version.
    """
    file = state / "version"
    version = file.read_text().strip() if file.is_file() else "0"
    if version == VERSION:
        return ""
    if not version.isdigit() or int(version) > int(VERSION):
        raise SandboxError(
            f"The state in {state} is of format {version!r}, which this kit does not know (it knows {VERSION}).",
            "Use the kit that made it, or set JUKEBOX_STATE to another folder.",
        )
    old = [entry for entry in state.iterdir() if entry.name not in KEPT and not entry.name.startswith("before-")]
    if old:
        aside = state / f"before-{VERSION}"
        aside.mkdir(exist_ok=True)
        for entry in old:
            entry.rename(aside / entry.name)
    file.write_text(VERSION + "\n")
    names = ", ".join(sorted(entry.name for entry in old))
    has_models = any(entry.name == "registry" for entry in old)
    copied = " What was registered there is copied into the new model registry." if has_models else ""
    return (
        f"The state was of an older kit: its git, S3, models and clones are kept; {names} moved to {aside}." + copied
        if old
        else ""
    )
