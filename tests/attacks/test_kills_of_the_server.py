"""The pipeline server and the model registry killed at each statement and commit of each request that writes."""

import itertools
import shutil

import dying_server
import pytest
from kfp import compiler
from killing import Forks, Step
from small_pipeline import a_pipeline
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from jukebox_sandbox.pipeline_server import tables

PROMISES = (4, 6)
KFP, REGISTRY = "/apis/v2beta1", "/api/model_registry/v1alpha3"
READ = [f"{KFP}/{kind}" for kind in ("pipelines", "runs", "experiments", "recurringruns")]
READ += [f"{REGISTRY}/{kind}" for kind in ("registered_models", "model_versions", "artifacts", "model_artifacts")]
DIED = 9


class Server:
    """The state of a server that has one of everything, copied for each death.

    Attributes:
        requests: Each request that writes: its route, method, path, and body.
    """

    def __init__(self, folder):
        self.folder, self.copies = folder, itertools.count()
        self.base = folder / "base"
        self.base.mkdir()
        self.package = folder / "a-pipeline.yaml"
        compiler.Compiler().compile(a_pipeline, str(self.package))
        self.forks = Forks(["dying_server"], folder / "runs")
        self.requests = self.fill()

    def ask(self, state, method, path, body=None, file="", when="before", number=0):
        """Status, answer and writes of a request; None if its server died."""
        arguments = {"state": str(state), "when": when, "number": number, "method": method, "path": path}
        step = Step("dying_server:request", arguments | {"body": body, "file": str(file)}, {})
        code, result, _ = self.forks.run(step)
        assert code in (0, DIED), result["said"]
        return None if code else result["given"]

    def make(self, path, body=None, file=""):
        """What a request that has to go well has made."""
        status, made, _ = self.ask(self.base, "POST", path, body, file)
        assert status in (200, 201), made
        return made

    def fill(self):
        """One of everything, and the requests that change it."""
        pipeline = self.make(f"{KFP}/pipelines/upload?name=first", file=self.package)["pipeline_id"]
        upload = f"{KFP}/pipelines/upload_version?pipelineid={pipeline}"
        version = self.make(f"{upload}&name=second", file=self.package)["pipeline_version_id"]
        reference = {"pipeline_id": pipeline, "pipeline_version_id": version}
        run = {"display_name": "a run", "pipeline_version_reference": reference}
        run["runtime_config"] = {"parameters": {"text": "a"}}
        failed, archived = (self.make(f"{KFP}/runs", run)["run_id"] for _ in range(2))
        daily = run | {"max_concurrency": "1", "trigger": {"periodic_schedule": {"interval_second": "60"}}}
        daily["mode"] = "ENABLE"
        often = self.make(f"{KFP}/recurringruns", daily)["recurring_run_id"]
        unused = self.make(f"{KFP}/experiments", {"display_name": "unused"})["experiment_id"]
        model = self.make(f"{REGISTRY}/registered_models", {"name": "jukebox"})["id"]
        of_model = self.make(f"{REGISTRY}/model_versions", {"name": "1", "registeredModelId": model})["id"]
        file = {"artifactType": "model-artifact", "name": "jukebox", "uri": "s3://models/a"}
        artifact = self.make(f"{REGISTRY}/model_versions/{of_model}/artifacts", file)["id"]
        engine = tables.open_database(self.base)
        with Session(engine) as session, session.begin():
            session.query(tables.Run).filter_by(id=failed).update({"state": "FAILED"})
            session.query(tables.Run).filter_by(id=archived).update({"state": "SUCCEEDED"})
        engine.dispose()
        note = {"description": "changed"}
        at = f"{KFP}/pipelines/{pipeline}"
        of_version = "/pipelines/<pipeline_id>/versions/<version_id>"
        return [
            ("/pipelines", "POST", f"{KFP}/pipelines", {"name": "empty", "display_name": "empty"}, ""),
            ("/pipelines/upload", "POST", f"{KFP}/pipelines/upload?name=another", None, self.package),
            ("/pipelines/<pipeline_id>", "PATCH", at, {"display_name": "changed"}, ""),
            ("/pipelines/<pipeline_id>", "DELETE", f"{at}?cascade=true", None, ""),
            ("/pipelines/upload_version", "POST", f"{upload}&name=third", None, self.package),
            (of_version, "PATCH", f"{at}/versions/{version}", {"display_name": "changed"}, ""),
            (of_version, "DELETE", f"{at}/versions/{version}", None, ""),
            ("/runs", "POST", f"{KFP}/runs", run, ""),
            ("/runs/<run_id>:archive", "POST", f"{KFP}/runs/{archived}:archive", None, ""),
            ("/runs/<run_id>", "DELETE", f"{KFP}/runs/{archived}", None, ""),
            ("/experiments", "POST", f"{KFP}/experiments", {"display_name": "one more"}, ""),
            ("/experiments/<experiment_id>", "DELETE", f"{KFP}/experiments/{unused}", None, ""),
            ("/recurringruns", "POST", f"{KFP}/recurringruns", daily, ""),
            ("/recurringruns/<recurring_run_id>:disable", "POST", f"{KFP}/recurringruns/{often}:disable", None, ""),
            ("/recurringruns/<recurring_run_id>", "DELETE", f"{KFP}/recurringruns/{often}", None, ""),
            ("/registered_models", "POST", f"{REGISTRY}/registered_models", {"name": "other"}, ""),
            ("/registered_models/<number>", "PATCH", f"{REGISTRY}/registered_models/{model}", note, ""),
            (
                "/model_versions", "POST", f"{REGISTRY}/model_versions", {"name": "2", "registeredModelId": model}, ""
            ),
            ("/model_versions/<number>", "PATCH", f"{REGISTRY}/model_versions/{of_model}", note, ""),
            (
                "/model_versions/<number>/artifacts", "POST", f"{REGISTRY}/model_versions/{of_model}/artifacts",
                file | {"name": "other"}, ""
            ),
            ("/artifacts", "POST", f"{REGISTRY}/artifacts", file | {"name": "third"}, ""),
            ("/model_artifacts/<number>", "PATCH", f"{REGISTRY}/model_artifacts/{artifact}",
             note | {"artifactType": "model-artifact"}, ""),
        ]  # fmt: skip

    def copy(self):
        """A state of its own."""
        state = self.folder / "copies" / str(next(self.copies))
        shutil.copytree(self.base, state)
        return state

    def rows(self, state):
        """How many rows each table has; the database is whole."""
        engine = tables.open_database(state)
        with Session(engine) as session:
            assert session.execute(text("PRAGMA integrity_check")).scalar() == "ok"
            assert session.execute(text("PRAGMA foreign_key_check")).all() == []
            found = {
                table.name: session.execute(select(func.count()).select_from(table)).scalar()
                for table in tables.Base.metadata.sorted_tables
            }
        engine.dispose()
        return found


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = Server(tmp_path_factory.mktemp("server"))
    yield made
    made.forks.close()


def test_requests(server, tally):
    before = server.rows(server.base)
    cases = []
    for route, *wanted in server.requests:
        for when in ("statement", "before", "after"):
            state = server.copy()
            status, said, points = server.ask(state, *wanted, when=when)
            assert status in (200, 201), (route, wanted, said)
            assert points, (route, "writes nothing")
            made = server.rows(state)
            shutil.rmtree(state)
            cases += [(route, wanted, made, when, number, name) for number, name in enumerate(points, 1)]
    for route, wanted, made, when, number, name in tally.turn(cases):
        state = server.copy()
        assert server.ask(state, *wanted, when=when, number=number) is None
        tally.count(f"{wanted[0]} {route}, {when} {number}: {name}")
        left = server.rows(state)
        # All of it or nothing: each of these requests is one transaction, but for what it finds missing first.
        assert left in (before, made), (left, before, made)
        for path in READ:
            assert server.ask(state, "GET", path)[0] == 200
        status, *_ = server.ask(state, *wanted)
        assert status < 500 and (status < 400 or left == made)
        again = server.rows(state)
        assert all(again[table] in (count, 2 * count - before[table]) for table, count in made.items())
        shutil.rmtree(state)


def test_every_request_that_writes_is_attacked(server, tally):
    engine = tables.open_database(server.copy())
    rules = dying_server.application_of(str(server.folder), engine).url_map.iter_rules()
    engine.dispose()
    written = {
        (method, rule.rule.removeprefix(KFP).removeprefix(REGISTRY))
        for rule in rules
        for method in rule.methods & {"POST", "PATCH", "DELETE", "PUT"}
        if "<path:" not in rule.rule
    }
    attacked = {(method, route) for route, method, *_ in server.requests}
    assert attacked <= written
    for _ in attacked:
        tally.count()
    assert written - attacked == LEFT_OUT


LEFT_OUT = {
    ("POST", "/pipelines/create"),
    ("POST", "/pipelines/<pipeline_id>/versions"),
    ("POST", "/registered_models/<number>/versions"),
    ("PATCH", "/artifacts/<number>"),
    ("POST", "/model_artifacts"),
    ("POST", "/runs/<run_id>:terminate"),
    ("POST", "/runs/<run_id>:retry"),
    ("POST", "/runs/<run_id>:unarchive"),
    ("POST", "/recurringruns/<recurring_run_id>:enable"),
    ("POST", "/sandbox/clock"),
}
"""The other name of a request that is attacked, its undoing, and what the runner does, which is attacked with it."""
