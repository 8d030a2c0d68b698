"""What the pipeline server keeps: one SQLite database, ``<state>/pipeline-server/server.db``. It holds no secret.

Times are whole seconds or finer, in UTC, without a time zone, as SQLite compares them.
"""

import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, Engine, ForeignKey, Index, String, Text, UniqueConstraint, create_engine, event
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


def now() -> datetime:
    """This moment, in UTC, without a time zone."""
    return datetime.now(UTC).replace(tzinfo=None)


def new_id() -> str:
    """A new id, as the server of Kubeflow Pipelines makes them."""
    return str(uuid.uuid4())


class Base(DeclarativeBase):
    """The tables."""


class Experiment(Base):
    """A group of runs; there is one, ``Default``, from the start."""

    __tablename__ = "experiments"
    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    display_name: Mapped[str] = mapped_column(String(128), unique=True)
    description: Mapped[str] = mapped_column(Text, default="")
    storage_state: Mapped[str] = mapped_column(String(16), default="AVAILABLE")
    created_at: Mapped[datetime] = mapped_column(default=now)


class Pipeline(Base):
    """An imported pipeline."""

    __tablename__ = "pipelines"
    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(128), unique=True)
    display_name: Mapped[str] = mapped_column(String(128))
    description: Mapped[str] = mapped_column(Text, default="")
    namespace: Mapped[str] = mapped_column(String(63), default="")
    created_at: Mapped[datetime] = mapped_column(default=now)


class PipelineVersion(Base):
    """One version of a pipeline; ``spec`` is the YAML as it was uploaded, byte for byte."""

    __tablename__ = "pipeline_versions"
    __table_args__ = (UniqueConstraint("pipeline_id", "name"),)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(36), unique=True, default=new_id)
    pipeline_id: Mapped[str] = mapped_column(ForeignKey("pipelines.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(128))
    display_name: Mapped[str] = mapped_column(String(128))
    description: Mapped[str] = mapped_column(Text, default="")
    code_source_url: Mapped[str] = mapped_column(Text, default="")
    spec: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=now)


class RecurringRun(Base):
    """A schedule. Without a version it runs the newest one of its pipeline; ``spec`` is an inline pipeline."""

    __tablename__ = "recurring_runs"
    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    display_name: Mapped[str] = mapped_column(String(128))
    description: Mapped[str] = mapped_column(Text, default="")
    experiment_id: Mapped[str] = mapped_column(ForeignKey("experiments.id"))
    pipeline_id: Mapped[str | None] = mapped_column(String(36))
    pipeline_version_id: Mapped[str | None] = mapped_column(String(36))
    spec: Mapped[str | None] = mapped_column(Text)
    parameters: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    pipeline_root: Mapped[str] = mapped_column(Text, default="")
    service_account: Mapped[str] = mapped_column(String(63), default="")
    cron: Mapped[str] = mapped_column(Text, default="")
    interval_second: Mapped[int] = mapped_column(default=0)
    start_time: Mapped[datetime | None]
    end_time: Mapped[datetime | None]
    max_concurrency: Mapped[int] = mapped_column(default=1)
    no_catchup: Mapped[bool] = mapped_column(default=False)
    enabled: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)
    last_due: Mapped[datetime | None]
    """The last time that was handled: run, or passed over as ``no_catchup`` says."""


class Run(Base):
    """One execution of a pipeline; ``spec`` is the YAML that runs, both documents, resolved when the run was made.

    A schedule's time gives one run: ``recurring_run_id`` and ``due_at`` are unique together.
    """

    __tablename__ = "runs"
    __table_args__ = (UniqueConstraint("recurring_run_id", "due_at"),)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(36), unique=True, default=new_id)
    display_name: Mapped[str] = mapped_column(String(128))
    description: Mapped[str] = mapped_column(Text, default="")
    experiment_id: Mapped[str] = mapped_column(ForeignKey("experiments.id"))
    pipeline_id: Mapped[str | None] = mapped_column(String(36), index=True)
    pipeline_version_id: Mapped[str | None] = mapped_column(String(36))
    recurring_run_id: Mapped[str | None] = mapped_column(String(36), index=True)
    due_at: Mapped[datetime | None]
    # The last column: SQLite reads through what is before a column, and a list wants all but this one.
    spec: Mapped[str] = mapped_column(Text, sort_order=1)
    parameters: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    pipeline_root: Mapped[str] = mapped_column(Text, default="")
    service_account: Mapped[str] = mapped_column(String(63), default="")
    storage_state: Mapped[str] = mapped_column(String(16), default="AVAILABLE")
    state: Mapped[str] = mapped_column(String(16), default="PENDING", index=True)
    error: Mapped[str] = mapped_column(Text, default="")
    state_history: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    """Objects with ``update_time`` (RFC 3339) and ``state``; why it failed is in ``error``."""
    created_at: Mapped[datetime] = mapped_column(default=now, index=True)
    scheduled_at: Mapped[datetime] = mapped_column(default=now)
    finished_at: Mapped[datetime | None]


class Task(Base):
    """One row of a run's ``task_details``: the root, a DAG, a driver, an executor, an iteration of a loop.

    A step has three, as in a cluster: its driver, a DAG of its name, and in that its executor, whose pod has the log.
    The rows outlive their run, as those of ML Metadata do: the cache has them.

    Attributes:
        name: As Argo shows it: the task's name in the spec, ``<task>-driver``, ``executor``, ``executor(0)`` where a
            step may be retried, ``iteration-iterations(0:0)``.
        scope: The path of names from the root, with ``[0]`` behind a loop's iteration, ``(0)`` behind a step's attempt;
            unique in a run and kind.
        kind: ``root``, ``dag``, ``driver``, ``executor`` or ``iteration``.
        parent_id: The row that this one is part of.
        outputs: Of an executor or DAG: ``parameters`` by name, ``artifacts`` by name: lists of artifact ids.
        fingerprint: The cache's key; an executor's that may be reused only.
        cached_from: The run whose outputs were taken.
    """

    __tablename__ = "tasks"
    __table_args__ = (
        UniqueConstraint("run_id", "scope", "kind"),
        Index("task_by_fingerprint", "fingerprint", "state"),
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(36), unique=True, default=new_id)
    run_id: Mapped[str] = mapped_column(String(36), index=True)
    parent_id: Mapped[str | None] = mapped_column(String(36))
    name: Mapped[str] = mapped_column(String(256))
    scope: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(String(16))
    pod_name: Mapped[str] = mapped_column(String(253), default="")
    state: Mapped[str] = mapped_column(String(16), default="PENDING")
    error: Mapped[str] = mapped_column(Text, default="")
    state_history: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    created_at: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    inputs: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    outputs: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    fingerprint: Mapped[str] = mapped_column(String(64), default="")
    cached_from: Mapped[str] = mapped_column(String(36), default="")


class Artifact(Base):
    """An artifact that a step wrote: where its bytes are, its type (``system.Dataset``), its metadata.

    It outlives its run, as in ML Metadata: a cached step of another run has it, too.
    """

    __tablename__ = "artifacts"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    run_id: Mapped[str] = mapped_column(String(36), index=True)
    name: Mapped[str] = mapped_column(Text)
    type: Mapped[str] = mapped_column(String(128))
    uri: Mapped[str] = mapped_column(Text)
    custom_properties: Mapped[dict[str, Any]] = mapped_column("metadata", JSON, default=dict)
    created_at: Mapped[datetime] = mapped_column(default=now)


def open_database(state: Path) -> Engine:
    """Open the database of a sandbox; it is made where there is none.

    Args:
        state: The state folder.

    Returns:
        The engine. Each write is on the disk when its transaction ends, and readers never wait for a writer.
    """
    folder = state / "pipeline-server"
    folder.mkdir(mode=0o700, exist_ok=True)
    engine = create_engine(f"sqlite:///{folder / 'server.db'}", connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    Base.metadata.create_all(engine)
    return engine
