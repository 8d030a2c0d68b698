"""The sandbox's door in front of one application of it."""

from pathlib import Path
from typing import Any

from jukebox_sandbox.door import Door
from jukebox_sandbox.state import Sandbox, write_secret


def behind_the_door(state: Path, port: int, application: Any, token: str) -> Door:
    """An application that asks for a token, as the sandbox's do."""
    write_secret(state / "secrets" / "git-auth", {"username": "user1", "password": "not-asked-for"})
    write_secret(state / "secrets" / "pipeline-server", {"token": token})
    return Door(Sandbox(state, f"http://127.0.0.1:{port}", ""), application)
