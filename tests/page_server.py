"""The sandbox's pages over a database of their own, asked as a browser asks, without one."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup
from pipeline_servers import ListeningRunner
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from jukebox_sandbox.commit_statuses import CommitStatuses
from jukebox_sandbox.configuration import Configuration, ModelVersions, Repository
from jukebox_sandbox.pages import ROOT, Site, make_app
from jukebox_sandbox.pipeline_server import tables
from jukebox_sandbox.pipeline_server.api import Service
from jukebox_sandbox.pipeline_server.creation import find_experiment
from jukebox_sandbox.pipeline_server.schedules import Clock, run_maker
from jukebox_sandbox.state import Sandbox

MARK = "FAILURE OF THE TEST "
LINKS = {
    "data": "/dashboard/buckets/cache/object?key={{ value[:2] }}/{{ value[2:] }}",
    "run": "/dashboard/runs/{{ value }}",
}
HINTS = {"address": "{base_url}/{user}/here.git"}


@dataclass
class Pages:
    """Pages that answer, and what is behind them."""

    client: Any
    engine: Engine
    runner: ListeningRunner
    clock: Clock
    state: Path

    def session(self) -> Session:
        return Session(self.engine, expire_on_commit=False)

    def get(self, path: str, status: int = 200, **headers: str) -> BeautifulSoup:
        """A page, parsed."""
        answer = self.client.get(ROOT + path, headers=headers)
        assert answer.status_code == status, answer.text[:2000]
        return BeautifulSoup(answer.text, "html.parser")

    def post(self, path: str, status: int = 302, file: tuple[str, bytes] | None = None, **form: str) -> Any:
        """Send a form; the answer, and where a redirect leads behind the root."""
        fields: dict[str, Any] = {key.replace("__", "."): value for key, value in form.items()}
        if file:
            fields["uploadfile"] = (BytesIO(file[1]), file[0])
        answer = self.client.post(ROOT + path, data=fields, content_type="multipart/form-data")
        assert answer.status_code == status, answer.text[:2000]
        if status == 302:
            return answer.headers["Location"].removeprefix(ROOT)
        return BeautifulSoup(answer.text, "html.parser")


@contextmanager
def page_server(state: Path) -> Iterator[Pages]:
    """The pages of a fresh state folder; its clock stands still until a test makes it tick."""
    engine = tables.open_database(state)
    runner = ListeningRunner()
    clock = Clock(engine, run_maker(runner))
    repository = Repository("jukebox", state, status="jukebox/ct", pipeline_run="ct-pipeline")
    configuration = Configuration(
        state / "sandbox.toml",
        state,
        {"jukebox": repository},
        "jukebox",
        "buckets.yaml",
        failure_mark=MARK,
        hints=HINTS,
        links=LINKS,
        model_versions=ModelVersions("data", ("data",), "made up"),
    )
    site = Site(
        Sandbox(state, "http://127.0.0.1:1", "http://127.0.0.1:2"), configuration, engine, CommitStatuses(engine)
    )
    application = make_app(site, Service(engine, runner, state / "pipeline-server" / "logs"), clock)
    with Session(engine) as session, session.begin():
        find_experiment(session)
    yield Pages(application.test_client(), engine, runner, clock, state)
    engine.dispose()
