"""The runner: runs what is in the table of runs, in one thread of the supervisor and a process for each step."""

import asyncio
import os
import re
import shutil
import threading
import traceback
from collections.abc import Callable, Coroutine
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from jukebox_sandbox.errors import SandboxError
from jukebox_sandbox.pipeline_server.runner.artifacts import Store, root_of
from jukebox_sandbox.pipeline_server.runner.containers import ENDED_FROM_OUTSIDE, Containers, unfinished
from jukebox_sandbox.pipeline_server.runner.packages import owners
from jukebox_sandbox.pipeline_server.runner.plan import check_needs
from jukebox_sandbox.pipeline_server.runner.pods import Pods
from jukebox_sandbox.pipeline_server.runner.processes import Processes
from jukebox_sandbox.pipeline_server.runner.records import OVER, Records, end_run, set_run_state
from jukebox_sandbox.pipeline_server.runner.refusals import check
from jukebox_sandbox.pipeline_server.runner.resolve import Names
from jukebox_sandbox.pipeline_server.runner.step import Facilities
from jukebox_sandbox.pipeline_server.runner.values import WrongValue
from jukebox_sandbox.pipeline_server.runner.volumes import Volumes
from jukebox_sandbox.pipeline_server.runner.walk import Walk, root_parameters
from jukebox_sandbox.pipeline_server.tables import Run
from jukebox_sandbox.state import Sandbox

CUT_SHORT = "The pipeline server stopped before this run was done."
WHAT_NEXT = "\nNext: retry it; steps that are done are not repeated."
ROOM = "\nNext: Make room on the disk, and retry the run; steps that are done are not repeated."
AGAIN = 5.0
"""Seconds until a failed write is tried again."""
CAN_BE_RETRIED = ("FAILED", "CANCELED")


class Runner:
    """Runs pipelines.

    Args:
        engine: The database.
        sandbox: Whose Secrets and S3 server there are.
        variables: What every step has in its environment; ``{base_url}`` stands for the sandbox's address.
    """

    def __init__(self, engine: Engine, sandbox: Sandbox, variables: dict[str, str]) -> None:
        self.engine = engine
        self.sandbox = sandbox
        self.folder = sandbox.state / "pipeline-server"
        self.variables = {key: value.replace("{base_url}", sandbox.base_url) for key, value in variables.items()}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="runner", daemon=True)
        self._runs: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(max(2, os.cpu_count() or 2))
        self._processes = Processes(self.folder)
        self._facilities: Facilities | None = None

    def start(self) -> None:
        """Begin: runs that an earlier server left undone are FAILED and say so, those that wait begin."""
        shutil.rmtree(self.folder / "scratch", ignore_errors=True)
        store, volumes = Store(self.sandbox.secret("s3")), Volumes(self.folder / "volumes")
        pods = Pods(self.sandbox, self.variables, self.folder, self._processes)
        self._facilities = Facilities(self.sandbox, self.folder, pods, store, volumes)
        with Session(self.engine) as session, session.begin():
            for run in session.scalars(select(Run).where(Run.state.in_(("RUNNING", "CANCELING")))):
                end, reason = ("CANCELED", ENDED_FROM_OUTSIDE) if run.state == "CANCELING" else ("FAILED", CUT_SHORT)
                end_run(session, run, end, reason + (WHAT_NEXT if end == "FAILED" else ""))
            waiting = list(session.scalars(select(Run.id).where(Run.state == "PENDING").order_by(Run.number)))
        self._thread.start()
        self._loop.call_soon_threadsafe(self._processes.get_ready)
        # What the packages bring is read once, before the first step asks.
        self._loop.call_soon_threadsafe(self._loop.run_in_executor, None, owners)
        for run_id in waiting:
            self.submit(run_id)

    def stop(self) -> None:
        """End all runs with all their processes; they are FAILED, and say why, when the server starts again."""
        if self._thread.is_alive():
            self._wait(self._end_all())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def check(self, spec_text: str) -> None:
        """Refuse a pipeline that cannot run here: SandboxError, by step and feature."""
        check(spec_text)

    def submit(self, run_id: str) -> None:
        """Begin a run, which is in the table and PENDING; returns at once."""
        self._call(lambda: self._begin(run_id))

    def terminate(self, run_id: str) -> None:
        """End a run with all its processes, and wait until they are gone.

        Args:
            run_id: The run.

        Raises:
            SandboxError: If it has ended already.
        """
        with Session(self.engine) as session, session.begin():
            run = session.scalars(select(Run).where(Run.id == run_id)).one()
            if run.state in OVER:
                raise SandboxError(f"Run {run_id} has ended already: it is {run.state}.")
            set_run_state(run, "CANCELING")
        self._wait(self._cancel(run_id))

    def retry(self, run_id: str) -> None:
        """Go on with a run that has failed or was ended: steps that ended well are not repeated.

        Args:
            run_id: The run.

        Raises:
            SandboxError: If it is not over, or has succeeded.
        """
        with Session(self.engine) as session, session.begin():
            run = session.scalars(select(Run).where(Run.id == run_id)).one()
            if run.state not in CAN_BE_RETRIED:
                raise SandboxError(
                    f"Run {run_id} cannot be retried: it is {run.state}.", "Retry a run that has failed."
                )
            for task in unfinished(session, run_id):
                session.delete(task)
            set_run_state(run, "PENDING")
        self.submit(run_id)

    def _call(self, function: Callable[[], Any]) -> None:
        self._loop.call_soon_threadsafe(function)

    def _wait(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _begin(self, run_id: str) -> None:
        if before := self._runs.get(run_id):  # it has ended, all but for this task
            before.add_done_callback(lambda _: self._begin(run_id))
            return
        self._runs[run_id] = self._loop.create_task(self._follow(run_id))
        self._runs[run_id].add_done_callback(lambda _: self._runs.pop(run_id, None))

    async def _cancel(self, run_id: str) -> None:
        task = self._runs.get(run_id)
        if task:
            task.cancel()
            await asyncio.wait([task])
        self._finish(run_id, "CANCELED", ENDED_FROM_OUTSIDE)

    async def _end_all(self) -> None:
        for task in list(self._runs.values()):
            task.cancel()
        if self._runs:
            await asyncio.wait(list(self._runs.values()))
        await self._processes.stop()

    def _finish(self, run_id: str, state: str, error: str) -> None:
        with Session(self.engine) as session, session.begin():
            run = session.scalars(select(Run).where(Run.id == run_id)).one_or_none()
            if run and run.state not in OVER:
                end_run(session, run, state, error)

    async def _follow(self, run_id: str) -> None:
        """Run one run to its end, and write down how it ended."""
        try:
            error = await self._run(run_id)
        except (SandboxError, WrongValue) as refusal:
            error = str(refusal)
        except DBAPIError as problem:
            traceback.print_exc()
            error = f"The pipeline server's database cannot be used: {problem.orig}.{ROOM}"
        except Exception as unexpected:
            traceback.print_exc()
            error = f"The pipeline server has failed: {type(unexpected).__name__}: {unexpected}"
        while True:
            try:
                return self._finish(run_id, "FAILED" if error else "SUCCEEDED", error)
            except SQLAlchemyError:  # a full disk, say: how the run ended is written down when there is room again
                traceback.print_exc()
                await asyncio.sleep(AGAIN)

    async def _run(self, run_id: str) -> str:
        """Run one run; the reason if it failed."""
        assert self._facilities
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            run = session.scalars(select(Run).where(Run.id == run_id)).one_or_none()
            if run is None or run.state != "PENDING":
                return "It was not waiting to begin."
            set_run_state(run, "RUNNING")
        pipeline = check(run.spec)
        workflow = re.sub(r"[^a-z0-9.-]", "-", f"{pipeline.name}-{run.id[:5]}".lower())
        created, scheduled = (f"{time:%Y-%m-%dT%H:%M:%SZ}" for time in (run.created_at, run.scheduled_at))
        names = Names(run.id, run.display_name, workflow, created, scheduled)
        records = Records(self.engine, run.id, workflow)
        parameters = root_parameters(pipeline, run.parameters)
        check_needs(pipeline, parameters, self.sandbox, self._facilities.volumes)
        root = root_of(run.pipeline_root, pipeline.name, run.id)
        containers = Containers(pipeline, records, self._facilities, self._slots, names, root)
        try:
            succeeded = await Walk(pipeline, records, containers, names).run(parameters)
        finally:
            await asyncio.shield(self._facilities.pods.end_ahead(run_id))
        return "" if succeeded else "\n".join(dict.fromkeys(containers.failures)) or "A step failed."
