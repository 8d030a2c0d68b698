"""The clock: when schedules are due, and that no time gives two runs or none."""

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, select, update
from sqlalchemy.orm import Session
from waiting import eventually

from jukebox_sandbox.pipeline_server import schedules
from jukebox_sandbox.pipeline_server.schedules import Clock, next_due, run_name
from jukebox_sandbox.pipeline_server.tables import Experiment, RecurringRun, Run, open_database

BEGUN = datetime(2026, 11, 25, 10, 30)
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)


def schedule(**values: Any) -> RecurringRun:
    known: dict[str, Any] = {
        "cron": "",
        "interval_second": 0,
        "no_catchup": False,
        "created_at": BEGUN,
        "enabled": True,
    }
    return RecurringRun(id="a1b2c3d4", display_name="Daily", experiment_id="e", max_concurrency=1, **known | values)


def daily(**values: Any) -> RecurringRun:
    return schedule(interval_second=86400, **values)


def midnight(**values: Any) -> RecurringRun:
    return schedule(cron="0 0 0 * * *", **values)


LATE = BEGUN + 3.5 * DAY

DUE = [
    # The first time is one interval after the creation, or after the start.
    (daily(), BEGUN, BEGUN + DAY),
    (daily(created_at=BEGUN + timedelta(microseconds=7)), BEGUN, BEGUN + DAY),
    (daily(start_time=BEGUN + HOUR), BEGUN, BEGUN + HOUR + DAY),
    (daily(start_time=BEGUN - 10 * DAY), BEGUN, BEGUN - 9 * DAY),
    (daily(start_time=BEGUN + 2 * DAY, last_due=BEGUN + DAY), BEGUN, BEGUN + 2 * DAY),
    (daily(last_due=BEGUN + DAY), LATE, BEGUN + 2 * DAY),
    (daily(end_time=BEGUN + DAY), BEGUN, BEGUN + DAY),
    (daily(end_time=BEGUN + DAY - SECOND), BEGUN, None),
    # Without catching up: the present moment, once it is more than one interval late.
    (daily(no_catchup=True), BEGUN + DAY, BEGUN + DAY),
    (daily(no_catchup=True), BEGUN + 2 * DAY - SECOND, BEGUN + DAY),
    (daily(no_catchup=True), BEGUN + 2 * DAY, BEGUN + 2 * DAY),
    (daily(no_catchup=True), LATE, LATE),
    (daily(no_catchup=True, end_time=BEGUN + 3 * DAY), LATE, BEGUN + 3 * DAY),
    (daily(no_catchup=True, end_time=BEGUN + HOUR), LATE, None),
    (midnight(), BEGUN, datetime(2026, 11, 26)),
    (midnight(), LATE, datetime(2026, 11, 26)),
    (midnight(last_due=datetime(2026, 11, 26)), LATE, datetime(2026, 11, 27)),
    (midnight(start_time=datetime(2026, 12, 1)), BEGUN, datetime(2026, 12, 2)),
    (midnight(start_time=datetime(2026, 12, 1), last_due=datetime(2026, 11, 27)), BEGUN, datetime(2026, 12, 2)),
    (midnight(end_time=datetime(2026, 11, 25, 23)), BEGUN, None),
    (midnight(end_time=datetime(2026, 11, 26)), BEGUN, datetime(2026, 11, 26)),
    (midnight(no_catchup=True), BEGUN, datetime(2026, 11, 26)),
    (midnight(no_catchup=True), LATE, datetime(2026, 11, 28)),
    (midnight(no_catchup=True), datetime(2026, 11, 28), datetime(2026, 11, 28)),
    (midnight(no_catchup=True, end_time=datetime(2026, 11, 27, 12)), LATE, datetime(2026, 11, 27)),
    (schedule(cron="0 0 0 30 2 ?"), BEGUN, None),
    # Neither an interval nor an expression: once.
    (schedule(), BEGUN, BEGUN),
    (schedule(last_due=BEGUN), LATE, None),
]


@pytest.mark.parametrize(("one", "moment", "due"), DUE)
def test_a_schedule_is_due_when_the_scheduler_says_so(
    one: RecurringRun, moment: datetime, due: datetime | None
) -> None:
    assert next_due(one, moment) == due


def test_a_run_is_named_as_the_scheduler_names_it() -> None:
    # The number is FNV-1a of the rest, as Go's hash/fnv gives it.
    assert run_name(schedule(), 1) == "dailya1b2c-1-3821771175"
    one = schedule()
    one.display_name = "Ünï ♫"
    assert run_name(one, 12).startswith("na1b2c-12-")
    one.display_name = "♫"
    assert run_name(one, 1).startswith("job-a1b2c-1-")


class Machine:
    """A database and a clock over it, whose runs are rows and nothing more."""

    def __init__(self, folder: Path) -> None:
        self.engine: Engine = open_database(folder)
        self.clock = Clock(self.engine, self.create_run)
        with Session(self.engine) as session:
            session.add(Experiment(id="e", display_name="Default"))
            session.commit()
        self.broken: Exception | None = None

    def create_run(self, session: Session, one: RecurringRun, due: datetime) -> Run:
        if self.broken:
            raise self.broken
        run = Run(display_name="x", experiment_id="e", recurring_run_id=one.id, due_at=due, spec="", scheduled_at=due)
        session.add(run)
        session.commit()
        return run

    def add(self, one: RecurringRun) -> str:
        with Session(self.engine) as session:
            session.add(one)
            session.commit()
            return one.id

    def due_times(self) -> list[datetime]:
        with Session(self.engine) as session:
            return [due for due in session.scalars(select(Run.due_at).order_by(Run.number)) if due]

    def end_runs(self, state: str = "SUCCEEDED") -> None:
        self.change(Run, state=state)

    def change(self, table: Any, **values: Any) -> None:
        with Session(self.engine) as session:
            session.execute(update(table).values(**values))
            session.commit()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    one = Machine(tmp_path)
    yield one
    one.clock.stop()
    one.engine.dispose()


def test_a_due_time_gives_one_run_however_often_the_clock_ticks(machine: Machine) -> None:
    machine.add(daily())
    assert machine.clock.tick(BEGUN + DAY - SECOND) == []
    for _ in range(3):
        machine.clock.tick(BEGUN + DAY)
        machine.end_runs()
    assert machine.due_times() == [BEGUN + DAY]


def test_missed_times_are_caught_up_one_by_one_and_at_most_so_many_at_once(machine: Machine) -> None:
    id = machine.add(daily())
    machine.change(RecurringRun, max_concurrency=2)
    assert len(machine.clock.tick(LATE)) == 2
    assert machine.clock.tick(LATE) == []
    for state in ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"):
        machine.end_runs(state)
        machine.clock.tick(LATE)
    assert machine.due_times() == [BEGUN + DAY, BEGUN + 2 * DAY, BEGUN + 3 * DAY]
    with Session(machine.engine) as session:
        one = session.get(RecurringRun, id)
        assert one and one.last_due == BEGUN + 3 * DAY


@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "CANCELING", "PAUSED"])
def test_a_run_that_is_not_over_keeps_the_next_one_waiting(machine: Machine, state: str) -> None:
    machine.add(daily())
    machine.clock.tick(BEGUN + DAY)
    machine.end_runs(state)
    assert machine.clock.tick(BEGUN + 2 * DAY) == []
    machine.end_runs()
    assert len(machine.clock.tick(BEGUN + 2 * DAY)) == 1


@pytest.mark.parametrize("one", [daily(no_catchup=True), midnight(no_catchup=True)])
def test_without_catching_up_only_the_newest_missed_time_runs(machine: Machine, one: RecurringRun) -> None:
    machine.add(one)
    machine.clock.tick(LATE)
    machine.end_runs()
    machine.clock.tick(LATE)
    assert len(machine.due_times()) == 1


def test_a_clock_that_was_set_back_makes_no_time_run_twice(machine: Machine) -> None:
    machine.add(daily(no_catchup=True))
    for moment in (LATE, BEGUN, BEGUN + 2 * DAY, LATE, LATE + DAY):
        machine.clock.tick(moment)
        machine.end_runs()
    assert machine.due_times() == [LATE, LATE + DAY]


def test_a_disabled_schedule_makes_no_run(machine: Machine) -> None:
    machine.add(daily(enabled=False))
    assert machine.clock.tick(LATE) == []
    machine.change(RecurringRun, enabled=True)
    assert len(machine.clock.tick(LATE)) == 1


@pytest.mark.parametrize("change", [update(RecurringRun).values(enabled=False), delete(RecurringRun)])
def test_a_schedule_that_is_disabled_or_deleted_while_another_one_runs_makes_no_run(
    machine: Machine, change: Any
) -> None:
    machine.add(daily())
    second = daily(created_at=BEGUN + SECOND)
    second.id = "second"
    machine.add(second)

    def change_and_make(session: Session, one: RecurringRun, due: datetime) -> Run:
        session.execute(change.where(RecurringRun.id == "second"))
        return machine.create_run(session, one, due)

    assert len(Clock(machine.engine, change_and_make).tick(LATE)) == 1


def test_two_clocks_on_one_database_make_one_run_of_each_time(machine: Machine) -> None:
    machine.add(daily(created_at=BEGUN - 40 * DAY))
    machine.change(RecurringRun, max_concurrency=10)
    together = threading.Barrier(2)

    def tick() -> None:
        clock = Clock(machine.engine, machine.create_run)
        together.wait(30)
        for _ in range(10):
            clock.tick(BEGUN)
            machine.end_runs()

    threads = [threading.Thread(target=tick) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert machine.due_times() == [BEGUN - (39 - day) * DAY for day in range(40)]


def test_a_run_that_cannot_be_made_is_said_once_and_tried_again_and_others_go_on(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.add(daily())
    monkeypatch.setattr(schedules, "PATIENCE", 0.0)
    machine.broken = ValueError("the pipeline has no version")
    for _ in range(3):
        assert machine.clock.tick(LATE) == []
    assert capsys.readouterr().err.count("ValueError: the pipeline has no version") == 1
    assert machine.due_times() == []
    machine.broken = None
    assert len(machine.clock.tick(LATE)) == 1
    assert machine.due_times() == [BEGUN + DAY]


def test_a_time_that_has_a_run_already_is_passed_over(machine: Machine) -> None:
    machine.add(daily())
    machine.clock.tick(BEGUN + DAY)
    machine.end_runs()
    machine.change(RecurringRun, last_due=None)  # as if only the run had been kept
    assert machine.clock.tick(BEGUN + 2 * DAY) == []
    assert len(machine.clock.tick(BEGUN + 2 * DAY)) == 1
    assert machine.due_times() == [BEGUN + DAY, BEGUN + 2 * DAY]


@pytest.mark.parametrize("kept", [True, False])
def test_whatever_dies_while_a_run_is_made_its_time_runs_once(machine: Machine, kept: bool) -> None:
    machine.add(daily())

    def die(session: Session, one: RecurringRun, due: datetime) -> Run:
        if kept:
            machine.create_run(session, one, due)
        else:
            session.flush()
        raise OSError("No space left on device")

    Clock(machine.engine, die).tick(BEGUN + DAY)
    assert machine.due_times() == ([BEGUN + DAY] if kept else [])
    machine.end_runs()
    machine.clock.tick(BEGUN + DAY)
    assert machine.due_times() == [BEGUN + DAY]


def test_the_clock_can_be_moved_forward_and_stays_there(machine: Machine) -> None:
    before = machine.clock.now()
    machine.clock.move(1)
    machine.clock.move(2)
    assert machine.clock.offset == 3 * DAY
    assert timedelta() <= Clock(machine.engine, machine.create_run).now() - before - 3 * DAY < HOUR


def test_a_started_clock_runs_what_is_due_when_it_is_woken(machine: Machine) -> None:
    machine.clock.start()
    machine.add(daily(created_at=machine.clock.now()))
    machine.clock.move(1)
    assert eventually(lambda: len(machine.due_times()) == 1)
    machine.clock.stop()
    machine.clock.move(1)
    machine.end_runs()
    assert len(machine.due_times()) == 1


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(-3 * 86400, 5 * 86400), max_size=30),
    st.sampled_from(["0 0 */6 * * *", "@daily", ""]),
    st.booleans(),
)
def test_whatever_the_clock_does_due_times_only_grow(steps: list[int], cron: str, no_catchup: bool) -> None:
    one = schedule(cron=cron, interval_second=0 if cron else 3600, no_catchup=no_catchup)
    moment, times = BEGUN, []
    for step in steps:
        moment += timedelta(seconds=step)
        due = next_due(one, moment)
        if due and due <= moment:
            times.append(due)
            one.last_due = due
    assert times == sorted(set(times))
