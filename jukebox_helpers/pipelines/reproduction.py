"""Reproducing: a registered model version trained again from what its record names, and compared with the record."""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines.following import OnChange, nobody, run_pipeline, runs_named
from jukebox_helpers.pipelines.lineage import compare_digests, unknown
from jukebox_helpers.pipelines.read import read_pipeline
from jukebox_helpers.pipelines.registry import model_registry
from jukebox_helpers.pipelines.reports import artifacts, digest
from jukebox_helpers.pipelines.revisions import default_parameters
from jukebox_helpers.pipelines.runs import Run
from jukebox_helpers.pipelines.server import connect
from jukebox_helpers.pipelines.training import compiled_revision, training_name
from jukebox_helpers.settings import TRAINING_PIPELINE_YAML, Settings
from jukebox_helpers.steps.constants import DATA_HASH, MODEL_HASH, RANKINGS_HASH
from jukebox_helpers.steps.metadata import read_json


def exporting_step(steps: Iterable[str]) -> str:
    """Which of a training's steps writes the ONNX file: in older revisions one of its own, ``export-model``."""
    return "export-model" if "export-model" in steps else "train-model"


def rebuild(settings: Settings, record: Mapping[str, Any], on_change: OnChange = nobody) -> dict[str, Any]:
    """Train a registered model version again, from what its record in the registry names, without registering anything.

    Returns the digests of what was rebuilt, under the names that the record uses. A revision that is gone or does not
    fetch what the record names, or a record that names too little, is a JukeboxError, a step that has failed RunFailed.
    """
    metadata = record["metadata"]
    needed = ("parameters", RANKINGS_HASH) if DATA_HASH in metadata else ("parameters",)
    if unrecorded := [name for name in needed if name not in metadata]:
        raise JukeboxError(
            f"The record of version {record['version']} has no {' and no '.join(unrecorded)}.",
            "Reproduce a version that the training pipeline has registered: ./jukebox trace names them.",
        )
    with compiled_revision(settings, str(metadata.get("git revision") or record["version"]), False) as (folder, _):
        pipeline = read_pipeline((folder / TRAINING_PIPELINE_YAML).read_text())
        fetch = "fetch-data-from-dvc" if DATA_HASH in metadata else "fetch-data"
        export = exporting_step(pipeline.steps())
        if absent := {fetch, export} - set(pipeline.steps()):
            raise JukeboxError(
                f"The training pipeline of revision {record['version']} has no step {' and no '.join(sorted(absent))}: "
                f"it cannot have made this model version{' from a data version' * (fetch in absent)}.",
                "Push a revision that has the step, and train that: its model version can be reproduced.",
            )
        pipeline = pipeline.until(export)
        parameters = default_parameters(folder)
    if DATA_HASH in metadata:
        rankings = f"rankings/{metadata[RANKINGS_HASH]}.parquet"
        pipeline = pipeline.with_argument(fetch, "rankings_object", rankings)
    arguments = {
        **parameters,
        "hyperparameters": read_json(metadata["parameters"]),
        "version": record["version"],
        "cluster_domain": settings.known_cluster_domain(),
    }
    run = run_pipeline(pipeline, arguments, settings, on_change, rebuild_name(record["version"]))
    found = {
        RANKINGS_HASH: digest(settings, run, fetch, "rankings", "sha256"),
        MODEL_HASH: digest(settings, run, export, "onnx_model", "sha256"),
    }
    return {DATA_HASH: digest(settings, run, fetch, "songs", "md5")} | found if DATA_HASH in metadata else found


def reproduce(settings: Settings, model: str, version: str, on_change: OnChange = nobody) -> list[dict[str, Any]]:
    """Train a registered model version again, as `rebuild` does, and compare it with its record.

    Returns what `compare_digests` does. A model or version that the registry does not have is a JukeboxError.
    """
    registry = model_registry(settings)
    record = registry.find(model, version)
    if record is None:
        raise unknown(registry, model, version)
    rebuilt = rebuild(settings, record, on_change)
    return compare_digests({name: record["metadata"].get(name) for name in rebuilt}, rebuilt)


def models_of(settings: Settings, revision: str) -> list[tuple[Run, str]]:
    """The training runs of a revision, the oldest first, each with the sha256 of the ONNX file that it made.

    The sha256 is empty where a run has made none, or not yet.
    """
    found = []
    for run in runs_named(connect(settings), training_name(revision), 20)[::-1]:
        step = exporting_step(one.name for one in run.steps)
        files = artifacts(settings, run, step, "onnx_model")
        found.append((run, sha256(files[0]).hexdigest() if files else ""))
    return found


def rebuild_name(version: str) -> str:
    """The name of the run that trains a model version again."""
    return f"reproduce-{version}"
