"""Pipelines run through the pipeline server's runner: compiled here, S3 that of the shared sandbox."""

import json
from pathlib import Path
from typing import Any

from kfp import compiler
from sqlalchemy import select
from sqlalchemy.orm import Session
from waiting import eventually

from jukebox_sandbox import s3
from jukebox_sandbox.pipeline_server.runner import Runner
from jukebox_sandbox.pipeline_server.runner.records import OVER, moment
from jukebox_sandbox.pipeline_server.tables import Artifact, Experiment, Run, Task, open_database
from jukebox_sandbox.state import Sandbox, read_secret, write_secret

SECRET_VALUE = "s3cr3t-of-the-test"


class Runs:
    """A runner with a database of its own.

    Args:
        state: A fresh state folder.
        shared: The state folder of the sandbox whose S3 server is used.
        endpoint: That server's address.
    """

    def __init__(self, state: Path, shared: Path, endpoint: str) -> None:
        self.state = state
        state.mkdir(parents=True, exist_ok=True)
        self.connection = read_secret(shared, "s3")
        write_secret(state / "secrets" / "s3", self.connection)
        write_secret(state / "secrets" / "a-secret", {"key": SECRET_VALUE})
        write_secret(state / "secrets" / "pipeline-server", {"token": "t0k3n-of-the-test"})
        self.sandbox = Sandbox(state, "http://127.0.0.1:1", endpoint)
        self.engine = open_database(state)
        self.runner = Runner(self.engine, self.sandbox, {"GREETING": "from {base_url}"})
        with Session(self.engine) as session, session.begin():
            session.merge(Experiment(id="default", display_name="Default"))

    def submit(self, pipeline: Any, arguments: dict[str, Any] | None = None, **columns: Any) -> str:
        """Begin a run; its id."""
        text = pipeline if isinstance(pipeline, str) else self.compile(pipeline)
        with Session(self.engine) as session, session.begin():
            run = Run(display_name="a run", experiment_id="default", spec=text, parameters=arguments or {}, **columns)
            run.state_history = [moment("PENDING")]
            session.add(run)
            session.flush()
            run_id = run.id
        self.runner.submit(run_id)
        return run_id

    def compile(self, pipeline: Any) -> str:
        """The YAML of a pipeline."""
        file = self.state / "compiled.yaml"
        compiler.Compiler().compile(pipeline, str(file))
        return file.read_text()

    def run(self, pipeline: Any, arguments: dict[str, Any] | None = None, **columns: Any) -> Run:
        """Run a pipeline to its end."""
        return self.ended(self.submit(pipeline, arguments, **columns))

    def get(self, run_id: str) -> Run:
        """A run as it is now."""
        with Session(self.engine) as session:
            return session.scalars(select(Run).where(Run.id == run_id)).one()

    def ended(self, run_id: str) -> Run:
        """A run when it is over."""
        return eventually(lambda: run if (run := self.get(run_id)).state in OVER else None)

    def tasks(self, run: Run | str) -> list[Task]:
        """The rows of a run, in the order of their making."""
        run_id = run if isinstance(run, str) else run.id
        with Session(self.engine) as session:
            return list(session.scalars(select(Task).where(Task.run_id == run_id).order_by(Task.number)))

    def rows(self, run: Run | str) -> dict[str, str]:
        """The states of a run's rows, by scope and name."""
        return {f"{task.scope}:{task.name}": task.state for task in self.tasks(run)}

    def executors(self, run: Run | str) -> dict[str, Task]:
        """The executors of a run, by scope without the root."""
        return {task.scope.removeprefix("root/"): task for task in self.tasks(run) if task.kind == "executor"}

    def outputs(self, run: Run | str) -> dict[str, Any]:
        """The output parameters of a run's steps, by scope without the root."""
        return {scope: task.outputs.get("parameters") for scope, task in self.executors(run).items()}

    def log(self, task: Task) -> str:
        """The log of a step."""
        return (self.state / "pipeline-server" / "logs" / task.run_id / f"{task.pod_name}.log").read_text()

    def artifact(self, task: Task, name: str) -> Artifact:
        """An artifact of a step."""
        with Session(self.engine) as session:
            return session.scalars(select(Artifact).where(Artifact.id == task.outputs["artifacts"][name][0])).one()

    def bytes_of(self, artifact: Artifact) -> bytes:
        """What S3 holds of an artifact."""
        bucket, _, key = artifact.uri.removeprefix("s3://").partition("/")
        return s3.client(self.connection).get_object(Bucket=bucket, Key=key)["Body"].read()

    def json_of(self, task: Task, name: str) -> Any:
        """The content of an artifact that is JSON."""
        return json.loads(self.bytes_of(self.artifact(task, name)))
