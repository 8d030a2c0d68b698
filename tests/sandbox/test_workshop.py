import ast

import pytest

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines.compile import compile_file
from jukebox_helpers.pipelines.read import read_pipeline
from jukebox_helpers.settings import KIT, TRAINING_PIPELINE, TRAINING_PIPELINE_YAML
from jukebox_helpers.workshop import edits

GITOPS = KIT / "mlops-gitops" / "toolings" / "minio" / "config.yaml"


def test_the_exercise_compiles_and_fetches_with_dvc(tmp_path):
    import shutil

    for name in ("jukebox_helpers", "3-prod_datascience"):
        shutil.copytree(KIT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(KIT / "requirements.txt", tmp_path)
    file = tmp_path / TRAINING_PIPELINE
    assert edits.train_on_versioned_data(file)
    assert not edits.train_on_versioned_data(file)  # done already
    text = file.read_text()
    assert "    # fetch_task = fetch_data()\n" in text
    assert "    ### 🍇 Fetches data from DVC\n" + edits.FETCH_FROM_DVC in text
    ast.parse(text)
    compile_file(file)
    pipeline = read_pipeline((tmp_path / TRAINING_PIPELINE_YAML).read_text())
    assert len((tmp_path / TRAINING_PIPELINE_YAML).read_bytes()) < 262_144
    fetch = pipeline.platform_of("exec-fetch-data-from-dvc")
    assert {entry["secretName"]: len(entry["keyToEnv"]) for entry in fetch["secretAsEnv"]} == {
        "aws-connection-data": 4,
        "git-auth": 2,
    }
    assert fetch["fieldPathAsEnv"] == [{"name": "namespace", "fieldPath": "metadata.namespace"}]
    assert "fetch-data" not in pipeline.steps()


def test_a_file_without_the_places_is_refused(tmp_path):
    file = tmp_path / "pipeline.py"
    file.write_text("print('something else')\n")
    with pytest.raises(JukeboxError, match="to edit"):
        edits.train_on_versioned_data(file)
    assert file.read_text() == "print('something else')\n"


def test_buckets_are_added_once(tmp_path):
    from jukebox_sandbox.buckets import read_config

    file = tmp_path / "config.yaml"
    file.write_text(GITOPS.read_text())
    assert edits.add_buckets(file, ["data", "models"])
    assert not edits.add_buckets(file, ["data", "models"])
    assert read_config(file) == ["pipeline", "models", "data"]
