"""What every part of the API needs: the database, the runner, the logs of the steps."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from flask import current_app
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from jukebox_sandbox.pipeline_server.creation import Runner

EXTENSION = "pipeline_server"


@dataclass(frozen=True)
class Service:
    """The parts behind the API.

    Attributes:
        engine: The database.
        runner: What runs the pipelines.
        logs: The folder of the steps' logs: ``<run id>/<pod name>.log``.
    """

    engine: Engine
    runner: Runner
    logs: Path


def service() -> Service:
    """The parts behind the application that answers this request."""
    return cast(Service, current_app.extensions[EXTENSION])


def open_session() -> Session:
    """A new session; rows stay readable after a commit."""
    return Session(service().engine, expire_on_commit=False)
