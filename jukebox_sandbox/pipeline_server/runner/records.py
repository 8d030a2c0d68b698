"""What the runner writes down: the state of a run, and the rows that Argo makes of its tasks."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from jukebox_sandbox.pipeline_server.tables import Run, Task, now

OVER = ("SUCCEEDED", "SKIPPED", "FAILED", "CANCELED")
OMITTED = "RUNTIME_STATE_UNSPECIFIED"
"""What the API server makes of Argo's ``Omitted``: a task whose turn never came."""


def moment(state: str) -> dict[str, str]:
    """An entry of a state history; the server knows whole seconds."""
    return {"update_time": f"{now():%Y-%m-%dT%H:%M:%SZ}", "state": state}


def set_run_state(run: Run, state: str, error: str = "") -> None:
    """Set the state of a run, and write it in its history.

    Args:
        run: The run, in a transaction.
        state: Its state.
        error: Why, if it has failed.
    """
    run.state, run.error = state, error
    run.finished_at = now() if state in OVER else None
    run.state_history = [*run.state_history, moment(state)]


def end_run(session: Session, run: Run, state: str, error: str = "") -> None:
    """Set how a run ended; what was under way in it has ended, too.

    Args:
        session: The transaction.
        run: The run.
        state: Its last state.
        error: Why, if it has not succeeded.
    """
    set_run_state(run, state, error)
    for task in session.scalars(select(Task).where(Task.run_id == run.id, Task.finished_at.is_(None))):
        task.state, task.error, task.finished_at = "FAILED", error, run.finished_at


def node_hash(name: str) -> int:
    """The number that Argo gives a node: FNV-1a, 32 bits, of its name."""
    number = 0x811C9DC5
    for byte in name.encode():
        number = (number ^ byte) * 0x01000193 & 0xFFFFFFFF
    return number


class Records:
    """The rows of one run.

    Args:
        engine: The database.
        run_id: The run.
        workflow: The name that Argo would give it.
    """

    def __init__(self, engine: Engine, run_id: str, workflow: str) -> None:
        self.engine = engine
        self.run_id = run_id
        self.workflow = workflow

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """One transaction: all of it is on the disk afterwards, or nothing."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    def find(self, session: Session, scope: str, kind: str) -> Task | None:
        """The row of a task, if there is one."""
        return session.scalars(
            select(Task).where(Task.run_id == self.run_id, Task.scope == scope, Task.kind == kind)
        ).first()

    def put(self, session: Session, scope: str, kind: str, name: str, state: str, **known: Any) -> Task:
        """Write the row of a task, and its state into the row's history.

        Args:
            session: The transaction.
            scope: The path of names from the root.
            kind: ``root``, ``dag``, ``driver``, ``executor`` or ``iteration``.
            name: What it is called.
            state: Its state.
            known: What else is known of it, by column; ``parent``: the scope and kind of the row that it is part of.

        Returns:
            The row.
        """
        parent = known.pop("parent", None)
        task = self.find(session, scope, kind)
        if task is None:
            task = Task(run_id=self.run_id, scope=scope, kind=kind, name=name, pod_name=self.pod(scope, kind, name))
            task.state_history = []
            if parent and (row := self.find(session, *parent)):
                task.parent_id = row.id
            session.add(task)
        if state in ("RUNNING", *OVER, OMITTED) and task.started_at is None:
            task.started_at = now()
        task.finished_at = now() if state in (*OVER, OMITTED) else None
        task.state, task.error = state, ""
        task.state_history = [*task.state_history, moment(state)]
        for column, value in known.items():
            setattr(task, column, value)
        session.flush()
        return task

    def pod(self, scope: str, kind: str, name: str) -> str:
        """The name of a node's pod: the workflow's, the template's and the node's number.

        See `RetrievePodName` in backend/src/common/util/workflow.go.
        """
        if kind == "root":
            return self.workflow
        templates = {"driver": "system-container-driver", "executor": "system-container-impl"}
        number = node_hash(f"{self.workflow}.{scope}.{kind}.{name}")
        return f"{self.workflow}-{templates.get(kind, kind)}-{number}"
