"""The training pipeline as the exercise leaves it."""

import ast

from caching import caching

from jukebox_helpers.pipelines.compile import compile_file
from jukebox_helpers.pipelines.read import read_pipeline
from jukebox_helpers.settings import KIT, TRAINING_PIPELINE, TRAINING_PIPELINE_YAML
from jukebox_helpers.workshop import edits


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
    assert caching(pipeline).keys() >= {"fetch-data-from-dvc", "store-model"}
    assert not any(caching(pipeline).values()), caching(pipeline)
