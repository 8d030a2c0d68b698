"""A grid of hyperparameters, scored on one version of the data. It trains and registers no model.

The better hyperparameters are for default_parameters.json, so that a commit names what a model was trained with. Run
this file to compile it to grid-pipeline.yaml, beside it.
"""

from pathlib import Path
from typing import Dict, List  # noqa: UP035 (2.14 knows the items of these lists only)

from check_grid import check_grid
from fetch_data import fetch_data_from_dvc
from kfp import dsl, kubernetes
from prepare_data import prepare_data
from score_candidate import score_candidate

from jukebox_helpers.pipelines.compile import compile_pipeline
from jukebox_helpers.steps.constants import S3_KEYS


@dsl.pipeline(name="grid-pipeline", description="Scores candidates for hyperparameters on one version of the data.")
def grid_pipeline(grid: List[Dict], version: str, cluster_domain: str):  # noqa: UP006
    """Check the candidates, fetch and prepare the data, score the candidates beside each other.

    Args:
        grid: The candidates, e.g. ``[{"epochs": 10}, {"epochs": 40}]``.
        version: The first 10 characters of the git revision whose data they are scored on.
        cluster_domain: ``apps.<cluster>``, or the sandbox's base URL.
    """
    check_task = check_grid(grid=grid)
    fetch_task = fetch_data_from_dvc(cluster_domain=cluster_domain, git_version=version).after(check_task)
    kubernetes.use_field_path_as_env(fetch_task, env_name="namespace", field_path="metadata.namespace")
    kubernetes.use_secret_as_env(
        fetch_task, secret_name="aws-connection-data", secret_key_to_env={key: key for key in S3_KEYS}
    )
    kubernetes.use_secret_as_env(
        fetch_task, secret_name="git-auth", secret_key_to_env={"username": "username", "password": "password"}
    )
    prepare_task = prepare_data(songs=fetch_task.outputs["songs"], rankings=fetch_task.outputs["rankings"])
    features, counts = prepare_task.outputs["features"], prepare_task.outputs["counts"]
    with dsl.ParallelFor(grid, name="grid") as candidate:
        score_task = score_candidate(features=features, counts=counts, hyperparameters=candidate)
    for task in (check_task, fetch_task, prepare_task, score_task):
        task.set_caching_options(False)


if __name__ == "__main__":
    print(f"Compiled to {compile_pipeline(grid_pipeline, Path(__file__).with_name('grid-pipeline.yaml'))}")
