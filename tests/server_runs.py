"""Runs of the sandbox's pipeline server: a compiled pipeline that is run, and what the server keeps of it."""

import uuid
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from jukebox_helpers.pipelines.runs import Run
from jukebox_helpers.settings import Settings
from jukebox_helpers.steps.s3 import s3_client
from jukebox_sandbox.pipeline_server import tables


def artifact_metadata(settings: Settings, run: Run) -> dict[str, dict[str, Any]]:
    """The metadata of a run's artifacts by name, as the server keeps it."""
    with Session(tables.open_database(settings.state)) as session:
        found = session.scalars(select(tables.Artifact).where(tables.Artifact.run_id == run.id))
        return {artifact.name: artifact.custom_properties for artifact in found}


NEVER_RAN = """\
pipelineInfo: {{name: {pipeline}}}
root: {{dag: {{tasks: {{train-model: {{componentRef: {{name: comp}}}}}}}}}}
components: {{comp: {{executorLabel: exec}}}}
deploymentSpec: {{executors: {{exec: {{container: {{command: [sh], image: i}}}}}}}}
schemaVersion: 2.1.0
sdkVersion: kfp-2.17.0
"""


def pretend_run(
    settings: Settings, name: str, state: str, error: str = "", pipeline: str = "p", model: bytes | None = None
) -> None:
    """A run that never ran, as rows on the server; with a model, its step ``train-model`` has left that object."""
    with Session(tables.open_database(settings.state)) as session:
        experiment = session.scalars(select(tables.Experiment)).first()
        assert experiment
        spec, run_id = NEVER_RAN.format(pipeline=pipeline), str(uuid.uuid4())
        history = [{"update_time": "2026-11-25T12:00:00Z", "state": state}]
        run = tables.Run(id=run_id, display_name=name, experiment_id=experiment.id, spec=spec)
        run.state, run.error, run.state_history = state, error, history
        session.add(run)
        session.flush()
        row = {"name": "train-model", "scope": "root/train-model", "kind": "dag"}
        session.add(tables.Task(run_id=run_id, state=state, **row))
        session.commit()
    if model is not None:
        key = f"{pipeline}/{run_id}/train-model/{uuid.uuid4()}/onnx_model"
        s3_client(settings.secret("aws-connection-pipeline")).put_object(Bucket="pipeline", Key=key, Body=model)
