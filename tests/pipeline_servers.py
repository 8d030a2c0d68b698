"""A pipeline server on loopback, behind a runner that only says what it was asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serving import Serving
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from jukebox_sandbox.errors import SandboxError
from jukebox_sandbox.pipeline_server import tables
from jukebox_sandbox.pipeline_server.api import Service, create_application

TOKEN = "t0ken-of-the-test"


@dataclass
class ListeningRunner:
    """Takes the place of the runner: it takes notes, and refuses specs that hold a word."""

    heard: list[tuple[str, str]] = field(default_factory=list)
    refused: str = "cannot-run-here"

    def check(self, spec_text: str) -> None:
        if self.refused in spec_text:
            raise SandboxError("The step 'importer' is an importer.", "Run it in the cluster.")

    def submit(self, run_id: str) -> None:
        self.heard.append(("submit", run_id))

    def terminate(self, run_id: str) -> None:
        self.heard.append(("terminate", run_id))

    def retry(self, run_id: str) -> None:
        self.heard.append(("retry", run_id))


@dataclass
class PipelineServer:
    """A server that answers, and what is behind it."""

    url: str
    engine: Engine
    runner: ListeningRunner
    logs: Path
    application: Any

    def session(self) -> Session:
        return Session(self.engine, expire_on_commit=False)


@contextmanager
def pipeline_server(state: Path) -> Iterator[PipelineServer]:
    """Serve the API from a state folder."""
    engine = tables.open_database(state)
    runner = ListeningRunner()
    logs = state / "pipeline-server" / "logs"
    application = create_application(Service(engine, runner, logs))
    serving = Serving(application, state, TOKEN)
    yield PipelineServer(serving.url, engine, runner, logs, application)
    serving.close()
    engine.dispose()
