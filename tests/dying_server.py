"""One request of a pipeline server that dies at a write. It is started by its path, as a process of its own.

``python dying_server.py STATE before|after N import FILE | run | tick | steps FILE SHARED ENDPOINT``: it ends right
before or after the Nth commit of its database that writes, as a kill would, or prints what the request gave. ``steps``
runs a pipeline, with the S3 server of the sandbox whose state is SHARED. `request` is for a process that is there.
"""

import json
import os
import sys
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session

from jukebox_sandbox.pipeline_server import tables
from jukebox_sandbox.pipeline_server.api import Service, create_application
from jukebox_sandbox.pipeline_server.api.recurring_runs import add_schedules
from jukebox_sandbox.pipeline_server.registry.api import registry_blueprint
from jukebox_sandbox.pipeline_server.schedules import Clock, run_maker


class IdleRunner:
    """Runs nothing."""

    def check(self, spec_text: str) -> None:
        """Refuse nothing."""

    def submit(self, run_id: str) -> None:
        """Leave it PENDING, as a server does that dies now."""

    terminate = retry = submit


def die_at(engine: Any, when: str, number: int) -> list[str]:
    """End this process at a write; what is returned names those that it came to.

    Args:
        engine: The database.
        when: ``before`` or ``after`` a commit, or at a ``statement``.
        number: The how-manieth; none has the number 0.
    """
    points, writes = list[str](), [False]

    def pass_by(name: str) -> None:
        points.append(name)
        if len(points) == number:
            os._exit(9)

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(("INSERT", "UPDATE", "DELETE")):
            writes[0] = True
            if when == "statement":
                pass_by(" ".join(statement.split()[:3]))

    def count(*_: Any) -> None:
        if writes[0]:
            writes[0] = False
            pass_by("commit")

    event.listen(engine, "before_cursor_execute", note)
    if when != "statement":
        event.listen(engine if when == "before" else Session, "commit" if when == "before" else "after_commit", count)
    return points


def run_steps(state: Path, when: str, number: int, pipeline: str, shared: str, endpoint: str) -> str:
    """Run a pipeline; the state that its run ended in."""
    from running import Runs

    runs = Runs(state, Path(shared), endpoint)
    die_at(runs.engine, when, number)
    runs.runner.start()
    ended = runs.run(Path(pipeline).read_text(), {"folder": str(state)}).state
    runs.runner.stop()
    return ended


def application_of(state: str, engine: Any) -> Any:
    """The pipeline server's application with the schedules and the model registry, whose runs do not begin."""
    runner = IdleRunner()
    application = create_application(Service(engine, runner, Path(state) / "logs"))
    add_schedules(application, Clock(engine, run_maker(runner)))
    application.register_blueprint(registry_blueprint(engine))
    return application


def request(state: str, when: str, number: int, method: str, path: str, body: Any = None, file: str = "") -> list[Any]:
    """One request of a server that dies at a write; see `die_at`.

    Returns:
        Status, JSON, and the writes that it came to.
    """
    engine = tables.open_database(Path(state))
    client = application_of(state, engine).test_client()
    points = die_at(engine, when, number)
    upload = {"uploadfile": (BytesIO(Path(file).read_bytes()), Path(file).name)} if file else None
    sent = {"data": upload} if upload else {"json": body} if body is not None else {}
    answer = client.open(path, method=method, **sent)
    return [answer.status_code, answer.get_json(silent=True), points]


def main() -> None:
    """Do one thing."""
    state, when, number, what = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
    if what == "steps":
        print(json.dumps([200, run_steps(state, when, number, *sys.argv[5:])]))
        return
    engine = tables.open_database(state)
    runner = IdleRunner()
    application = create_application(Service(engine, runner, state / "logs"))
    clock = Clock(engine, run_maker(runner))
    add_schedules(application, clock)
    client = application.test_client()
    die_at(engine, when, number)
    if what == "import":
        with open(sys.argv[5], "rb") as file:
            answer = client.post("/apis/v2beta1/pipelines/upload?name=two-steps", data={"uploadfile": file})
        print(json.dumps([answer.status_code, answer.get_json()]))
    elif what == "run":
        with Session(engine) as session:
            version = session.query(tables.PipelineVersion).one()
        reference = {"pipeline_id": version.pipeline_id, "pipeline_version_id": version.id}
        run = {"display_name": "a run", "pipeline_version_reference": reference}
        print(json.dumps([client.post("/apis/v2beta1/runs", json=run).status_code, {}]))
    else:
        print(json.dumps([200, clock.tick(tables.now() + timedelta(days=1, hours=1))]))


if __name__ == "__main__":
    main()
