"""A sandbox whose pushes of code run a command in place of the training pipeline."""

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path

from jukebox_helpers import sandbox as platform
from jukebox_helpers.settings import KIT

STAND_IN = ["python3", "-c", "print('trained from {revision}')"]
"""What a push of code runs in the shared sandbox, instead of the training pipeline."""


def stand_in_configuration(
    folder: Path, command: Sequence[str] | None = STAND_IN, git_server: str = "{base_url}"
) -> Path:
    """Write the kit's ``sandbox.toml`` into a folder, but that a push of code runs another command.

    Args:
        folder: The folder.
        command: The command; None for the kit's own.
        git_server: The address at which the steps find the git server.
    """
    known = tomllib.loads(platform.CONFIGURATION.read_text())
    lines = [f"checkout = {json.dumps(str(KIT))}"]
    for repository in known["repository"]:
        if "on_push" in repository and command is not None:
            repository["on_push"] = list(command)
        lines += ["[[repository]]", *(f"{key} = {json.dumps(value)}" for key, value in repository.items())]
    lines += ["[buckets]", *(f"{key} = {json.dumps(value)}" for key, value in known["buckets"].items())]
    environment = known["steps"]["environment"] | {"JUKEBOX_GIT_SERVER": git_server}
    lines += ["[steps.environment]", *(f"{key} = {json.dumps(value)}" for key, value in environment.items())]
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "sandbox.toml"
    file.write_text("\n".join(lines) + "\n")
    return file
