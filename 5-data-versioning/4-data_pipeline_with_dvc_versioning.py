"""The data pipeline: fresh songs in, a data version on the branch main out.

Run this file to compile it to song-properties-etl.yaml, beside it. That very file runs on the laptop and is
imported in the OpenShift AI dashboard.
"""

from pathlib import Path

from data_steps import check_access, extract, load, transform, validate, version_and_commit
from kfp import dsl, kubernetes

from jukebox_helpers.pipelines.compile import compile_pipeline
from jukebox_helpers.steps.constants import GIT_KEYS, S3_KEYS


@dsl.pipeline(
    name="data-pipeline-with-dvc",
    description="Fetches the songs, validates them, loads them to S3, versions them with DVC and commits the version.",
)
def data_pipeline(dataset_url: str, repo_url: str):
    """Fetch, validate, transform, load, version, commit.

    Args:
        dataset_url: Where the songs come from: ``https://…`` or ``s3://…``.
        repo_url: The git repository that keeps the version file, without credentials.
    """
    access_task = check_access(repo_url=repo_url)
    extract_task = extract(dataset_url=dataset_url).after(access_task)
    validate_task = validate(songs=extract_task.outputs["songs"])
    transform_task = transform(songs=extract_task.outputs["songs"]).after(validate_task)
    load_task = load(transformed=transform_task.outputs["transformed"])
    version_task = version_and_commit(repo_url=repo_url, md5=load_task.output)

    for task in (access_task, extract_task, load_task, version_task):
        kubernetes.use_secret_as_env(
            task, secret_name="aws-connection-data", secret_key_to_env={key: key for key in S3_KEYS}
        )
    for task in (access_task, version_task):
        kubernetes.use_secret_as_env(task, secret_name="git-auth", secret_key_to_env={key: key for key in GIT_KEYS})
    # The cache's key holds the URL, never the bytes behind it: with caching, a daily run sees no fresh data.
    for task in (access_task, extract_task, validate_task, transform_task, load_task, version_task):
        task.set_caching_options(False)


if __name__ == "__main__":
    print(f"Compiled to {compile_pipeline(data_pipeline, Path(__file__).with_name('song-properties-etl.yaml'))}")
