"""The clock: when a schedule is due, and the one place that makes its runs.

The times are those of the scheduler of Kubeflow Pipelines, whose source says what its documentation does not:
https://github.com/kubeflow/pipelines/tree/master/backend/src/crd/controller/scheduledworkflow/util
"""

import re
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from jukebox_sandbox.pipeline_server import cron
from jukebox_sandbox.pipeline_server.creation import Runner, RunRequest, create_run
from jukebox_sandbox.pipeline_server.tables import Base, PipelineVersion, RecurringRun, Run, now

OVER = ("SUCCEEDED", "SKIPPED", "FAILED", "CANCELED")
"""The states of a run that counts no more for ``max_concurrency``."""

MOST_AT_ONCE = 10
"""The largest ``max_concurrency``."""

PATIENCE = 60.0
"""Seconds until a schedule whose run could not be made is tried again."""

DAY = timedelta(days=1)

CreateRun = Callable[[Session, RecurringRun, datetime], Run]
"""Makes the run of a schedule that is due at a time, commits it, and hands it to the runner.

The run has the schedule's id and that time as ``recurring_run_id`` and ``due_at``. What the session holds already, the
schedule's own progress, is committed in the same transaction.
"""


def run_maker(runner: Runner) -> CreateRun:
    """What makes the runs of schedules, and gives them to a runner.

    Args:
        runner: What runs them.

    Returns:
        The function for :class:`Clock`. A schedule without a version runs the newest one; one whose version was deleted
        runs what it was when the schedule was made, as the scheduler does.
    """

    def make_run(session: Session, schedule: RecurringRun, due: datetime) -> Run:
        of_schedule = select(func.count()).select_from(Run).where(Run.recurring_run_id == schedule.id)
        pipeline_id, version_id = schedule.pipeline_id, schedule.pipeline_version_id
        if version_id and not session.scalar(select(PipelineVersion.id).where(PipelineVersion.id == version_id)):
            pipeline_id = version_id = None
        request = RunRequest(
            display_name=run_name(schedule, (session.scalar(of_schedule) or 0) + 1),
            pipeline_id=pipeline_id,
            pipeline_version_id=version_id,
            spec=schedule.spec,
            parameters=schedule.parameters,
            experiment_id=schedule.experiment_id,
            description=schedule.description,
            pipeline_root=schedule.pipeline_root,
            service_account=schedule.service_account,
            recurring_run_id=schedule.id,
            due_at=due,
        )
        return create_run(session, runner, request)

    return make_run


class ClockOffset(Base):
    """How far the sandbox's clock is ahead of the machine's; one row, or none."""

    __tablename__ = "clock_offset"
    id: Mapped[int] = mapped_column(primary_key=True)
    seconds: Mapped[int]


def next_due(schedule: RecurringRun, moment: datetime) -> datetime | None:
    """The time at which a schedule shall run next, or should have run.

    Args:
        schedule: The schedule.
        moment: Now, in UTC, without a time zone.

    Returns:
        The time, in whole seconds; None where it never runs again. It may be before ``moment``: then it is due.
    """
    created, start, end = (_whole(time) for time in (schedule.created_at, schedule.start_time, schedule.end_time))
    assert created is not None
    last = schedule.last_due or start or created
    if schedule.cron:
        return _next_of_cron(schedule, max(last, start or last), end, moment)
    if not schedule.interval_second:  # no trigger at all: once
        return None if schedule.last_due else created
    interval = timedelta(seconds=schedule.interval_second)
    due = start if start and start > last else last + interval
    if end and end < due:
        return None
    if schedule.no_catchup and moment >= due + interval:
        # Not a time of the grid: the server begins a new one at this moment.
        return min(_whole(moment) or moment, end or moment)
    return due


def run_name(schedule: RecurringRun, index: int) -> str:
    """What the scheduler calls a run of a schedule.

    Args:
        schedule: The schedule.
        index: Which of its runs this is, from 1.

    Returns:
        E.g. ``data-pipeline-with-dvc-da1b2c3-1-3871012318``: name, id, index and a number that follows from these.
    """
    name = re.sub("[^a-z0-9-]+", "", schedule.display_name.lower())[:25] or "job-"
    numbered = f"{name}{schedule.id[:5]}-{index}"
    fnv = 0x811C9DC5
    for byte in numbered.encode():
        fnv = (fnv ^ byte) * 0x01000193 % (1 << 32)
    return f"{numbered}-{fnv}"


def _next_of_cron(schedule: RecurringRun, after: datetime, end: datetime | None, moment: datetime) -> datetime | None:
    expression = cron.parse(schedule.cron)
    due = expression.next_after(after)
    if due is None or (end and end < due):
        return None
    until = min(moment, end or moment)
    return expression.newest_until(due, until) if schedule.no_catchup and due < until else due


def _whole(moment: datetime | None) -> datetime | None:
    return moment and moment.replace(microsecond=0)


class Clock:
    """Makes the runs of schedules when they are due.

    Args:
        engine: The database.
        create_run: Makes a run.
    """

    def __init__(self, engine: Engine, create_run: CreateRun) -> None:
        self.engine = engine
        self.create_run = create_run
        self._failed: dict[str, tuple[float, str]] = {}
        self._awake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True, name="clock")

    @property
    def offset(self) -> timedelta:
        """How far the sandbox's clock is ahead of the machine's."""
        with Session(self.engine) as session:
            row = session.get(ClockOffset, 1)
            return timedelta(seconds=row.seconds if row else 0)

    def now(self) -> datetime:
        """The sandbox's time, in UTC, without a time zone."""
        return now() + self.offset

    def move(self, days: int) -> None:
        """Move the sandbox's clock forward; it stays there.

        Args:
            days: How many days, at least 1.
        """
        with Session(self.engine) as session:
            session.connection().exec_driver_sql("BEGIN IMMEDIATE")
            row = session.get(ClockOffset, 1) or ClockOffset(id=1, seconds=0)
            row.seconds += days * int(DAY.total_seconds())
            session.add(row)
            session.commit()
        self.wake()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Look at the schedules now: one is new, or has changed."""
        self._failed.clear()
        self._awake.set()

    def stop(self) -> None:
        """End; a run that is being made is made."""
        self._stopping.set()
        self._awake.set()
        if self._thread.is_alive():
            self._thread.join()

    def tick(self, moment: datetime) -> list[str]:
        """Make every run that is due.

        Args:
            moment: Now, in UTC, without a time zone.

        Returns:
            The ids of the runs. A schedule whose run cannot be made is said to be so on standard error, and tried again
            later; the others are not kept waiting.
        """
        with Session(self.engine) as session:
            enabled = select(RecurringRun.id).where(RecurringRun.enabled).order_by(RecurringRun.created_at)
            waiting = list(session.scalars(enabled))
        made: list[str] = []
        for id in waiting:
            if self._failed.get(id, (0.0, ""))[0] > time.monotonic():
                continue
            try:
                while run := self._make_one(id, moment):
                    made.append(run)
                self._failed.pop(id, None)
            except Exception as error:  # the next schedule has a right to its turn
                self._note(id, f"{type(error).__name__}: {error}")
        return made

    def _make_one(self, id: str, moment: datetime) -> str | None:
        """Make the next run of a schedule if it is due: the run and the schedule's progress are one transaction."""
        with Session(self.engine) as session:
            session.connection().exec_driver_sql("BEGIN IMMEDIATE")  # a schedule disabled meanwhile is seen as such
            schedule = session.get(RecurringRun, id)
            if schedule is None or not schedule.enabled:
                return None
            due = next_due(schedule, moment)
            if due is None or due > moment:
                return None
            of_schedule = (
                select(func.count()).select_from(Run).where(Run.recurring_run_id == id, Run.state.not_in(OVER))
            )
            if (session.scalar(of_schedule) or 0) >= min(max(schedule.max_concurrency, 1), MOST_AT_ONCE):
                return None
            schedule.last_due = due
            try:
                run = self.create_run(session, schedule, due)
                session.commit()
            except IntegrityError:
                session.rollback()
                if not session.scalar(select(Run.id).where(Run.recurring_run_id == id, Run.due_at == due)):
                    raise
                schedule.last_due = due  # the same time has given a run already
                session.commit()
                return None
            return run.id

    def _note(self, id: str, problem: str) -> None:
        _, said = self._failed.get(id, (0.0, ""))
        self._failed[id] = (time.monotonic() + PATIENCE, problem)
        if problem != said:
            print(f"The schedule {id} could not make its run, and tries again: {problem}", file=sys.stderr, flush=True)

    def _work(self) -> None:
        while not self._stopping.is_set():
            self._awake.clear()
            try:
                self.tick(self.now())
            except Exception as error:  # a full disk, say: the next second is another try
                self._note("clock", f"{type(error).__name__}: {error}")
            # A second at most: the machine may sleep, and its clock may be set.
            self._awake.wait(1.0)
