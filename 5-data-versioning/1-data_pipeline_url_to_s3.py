"""The inner loop: the data pipeline up to the bucket, without a version. Run it while you try things out.

    .venv/bin/python 5-data-versioning/1-data_pipeline_url_to_s3.py

It takes the songs at their address, where ./jukebox publish puts them. The platform's pipeline server runs it at once;
nothing is imported or committed.
"""

import argparse
import tempfile
from pathlib import Path

from data_steps import extract, transform, validate
from kfp import dsl, kubernetes
from kfp.dsl import Dataset, Input
from rich.console import Console

from jukebox_helpers.cli import show_run
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines.compile import compile_pipeline
from jukebox_helpers.pipelines.declare import step
from jukebox_helpers.pipelines.following import run_pipeline
from jukebox_helpers.settings import find_settings
from jukebox_helpers.show.progress import RunProgress
from jukebox_helpers.steps.constants import S3_KEYS, SONGS_OBJECT
from jukebox_helpers.steps.transfer import load_object, own_bucket
from jukebox_helpers.workshop.songs import songs_argument


@step("boto3")
def load(transformed: Input[Dataset]):
    """Put the table into the bucket, over the one before: whoever loads last, wins."""
    print(f"Loaded to {load_object(transformed.path, SONGS_OBJECT, own_bucket())}.")


@dsl.pipeline(name="data-pipeline-url-to-s3", description="Fetches the songs, validates them and loads them to S3.")
def data_pipeline_to_s3(dataset_url: str):
    """Fetch, validate, transform, load.

    Args:
        dataset_url: Where the songs come from.
    """
    extract_task = extract(dataset_url=dataset_url)
    validate_task = validate(songs=extract_task.outputs["songs"])
    transform_task = transform(songs=extract_task.outputs["songs"]).after(validate_task)
    load_task = load(transformed=transform_task.outputs["transformed"])
    for task in (extract_task, load_task):
        kubernetes.use_secret_as_env(
            task, secret_name="aws-connection-data", secret_key_to_env={key: key for key in S3_KEYS}
        )
    for task in (extract_task, validate_task, transform_task, load_task):
        task.set_caching_options(False)


def main() -> None:
    """Compile and run the pipeline."""
    parser = argparse.ArgumentParser(description="Load songs to s3://data/song_properties.parquet, without a version.")
    parser.add_argument("--dataset-url", help="https://, s3://, or a file, which is uploaded [the songs' address]")
    settings, given = find_settings(), parser.parse_args().dataset_url
    arguments = {"dataset_url": songs_argument(settings, given)}
    with tempfile.TemporaryDirectory() as folder, RunProgress(Console(stderr=True)) as progress:
        compiled = compile_pipeline(data_pipeline_to_s3, Path(folder, "data-pipeline-url-to-s3.yaml"))
        show_run(run_pipeline(compiled, arguments, settings, progress), as_json=False)


if __name__ == "__main__":
    try:
        main()
    except JukeboxError as error:
        raise SystemExit(f"Error: {error}") from None
