"""The sandbox's pipeline server alone, behind a proxy that can make it fail; its runs end as a test says."""

import ssl
import tempfile
import threading
from pathlib import Path
from typing import Any

from failing_proxy import FailingProxy
from serving import Serving
from sqlalchemy import select
from sqlalchemy.orm import Session
from waiting import DEADLINE

from jukebox_helpers.pipelines.read import read_pipeline
from jukebox_helpers.steps.messages import FAILURE
from jukebox_sandbox.pipeline_server import tables
from jukebox_sandbox.pipeline_server.api import Service, create_application
from jukebox_sandbox.pipeline_server.api.recurring_runs import add_schedules
from jukebox_sandbox.pipeline_server.runner.records import Records, set_run_state
from jukebox_sandbox.pipeline_server.schedules import Clock, run_maker

TOKEN = "t0ken-of-the-test"
WHY = '{"what": "the step\'s own words.", "next": "fix it."}'


class ActingRunner:
    """Runs nothing: it writes down what a runner does.

    Args:
        engine: The database.
        logs: The folder of the steps' logs.

    Attributes:
        states: How each step ends, in turn: a state, or ``hang``; SUCCEEDED where none is left.
        write: Whether a step has a log.
        before: Called before a step changes its state.
    """

    def __init__(self, engine: Any, logs: Path) -> None:
        self.engine, self.logs = engine, logs
        self.states: list[str] = []
        self.write = True
        self.before = lambda run_id: None
        self.acting: list[threading.Thread] = []

    def check(self, spec_text: str) -> None:
        """Refuse nothing."""

    def submit(self, run_id: str) -> None:
        """Begin a run."""
        self.acting.append(threading.Thread(target=self.act, args=(run_id,), daemon=True))
        self.acting[-1].start()

    def terminate(self, run_id: str) -> None:
        """End a run."""
        self.end(run_id, "CANCELED")

    def retry(self, run_id: str) -> None:
        """Nobody asks for it here."""

    def close(self) -> None:
        """Wait until nothing writes any more."""
        for thread in self.acting:
            thread.join(DEADLINE)

    def end(self, run_id: str, state: str) -> None:
        """Write the end of a run."""
        with Session(self.engine) as session, session.begin():
            set_run_state(session.scalars(select(tables.Run).where(tables.Run.id == run_id)).one(), state)

    def act(self, run_id: str) -> None:
        """Let each step begin and end."""
        records = Records(self.engine, run_id, f"workflow-{run_id[:5]}")
        with Session(self.engine) as session, session.begin():
            run = session.scalars(select(tables.Run).where(tables.Run.id == run_id)).one()
            steps = read_pipeline(run.spec).steps()
            set_run_state(run, "RUNNING")
        for step in steps:
            state = self.states.pop(0) if self.states else "SUCCEEDED"
            self.before(run_id)
            scope, rows = f"root/{step}", (f"root/{step}", "dag")
            with records.transaction() as session:
                records.put(session, scope, "driver", f"{step}-driver", "SUCCEEDED")
                records.put(session, scope, "dag", step, "RUNNING")
                pod = records.put(session, scope, "executor", "executor", "RUNNING", parent=rows).pod_name
            self.before(run_id)
            if state == "hang":
                return
            if state == "CANCELED":
                return self.end(run_id, state)
            (self.logs / run_id).mkdir(parents=True, exist_ok=True)
            said = f"Traceback …\n{FAILURE}{WHY}\n" if state == "FAILED" else f"{step} is done\n"
            if self.write:
                (self.logs / run_id / f"{pod}.log").write_text(said)
            with records.transaction() as session:
                for kind, name in (("executor", "executor"), ("dag", step)):
                    records.put(session, scope, kind, name, state)
            if state == "FAILED":
                return self.end(run_id, state)
        return self.end(run_id, "SUCCEEDED")


class PlatformServer:
    """The server.

    Args:
        certificate: The proxy serves HTTPS with it.
        token: What it asks for.

    Attributes:
        runner: What its runs become.
        proxy: What stands before it.
        url: The proxy's address.
        token_file: A file with the token.
    """

    def __init__(self, certificate: ssl.SSLContext | None = None, token: str = TOKEN) -> None:
        self.folder = tempfile.TemporaryDirectory()
        state = Path(self.folder.name)
        self.engine, logs = tables.open_database(state), state / "pipeline-server" / "logs"
        self.runner = ActingRunner(self.engine, logs)
        application = create_application(Service(self.engine, self.runner, logs))
        add_schedules(application, Clock(self.engine, run_maker(self.runner)))
        self.serving = Serving(application, state, token)
        self.proxy = FailingProxy(self.serving.url, certificate)
        self.url = self.proxy.url
        self.token_file = state / "token"
        self.token_file.write_text(token)

    def rows(self, kind: Any) -> list[Any]:
        """What it keeps of a kind, by its table."""
        with Session(self.engine, expire_on_commit=False) as session:
            return list(session.scalars(select(kind)))

    @property
    def pipelines(self) -> list[tables.Pipeline]:
        """The pipelines."""
        return self.rows(tables.Pipeline)

    @property
    def versions(self) -> list[tables.PipelineVersion]:
        """The versions of all pipelines."""
        return self.rows(tables.PipelineVersion)

    @property
    def recurring(self) -> list[tables.RecurringRun]:
        """The schedules."""
        return self.rows(tables.RecurringRun)

    @property
    def runs(self) -> list[tables.Run]:
        """The runs."""
        return self.rows(tables.Run)

    def close(self) -> None:
        """Stop it."""
        self.runner.close()
        self.proxy.close()
        self.serving.close()
        self.engine.dispose()
        self.folder.cleanup()
