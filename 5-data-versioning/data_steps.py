"""The steps of the data pipeline: what each one does is a function of the library that travels with it."""

from kfp.dsl import Dataset, Input, Metrics, Output

from jukebox_helpers.pipelines.declare import step
from jukebox_helpers.steps.constants import CACHE_BUCKET, DATA_BUCKET
from jukebox_helpers.steps.data_cache import cache_key, load_to_cache
from jukebox_helpers.steps.data_versions import check_write_access, commit_data_version
from jukebox_helpers.steps.tables import transform_songs, validate_songs
from jukebox_helpers.steps.transfer import fetch


@step("boto3", quiet=True)
def check_access(repo_url: str):
    """Refuse wrong addresses and credentials before anything is written."""
    revision = check_write_access(repo_url, [DATA_BUCKET, CACHE_BUCKET])
    print(f"S3 and git let this run write; main is at {revision[:10]}.")


@step("boto3", quiet=True)
def extract(dataset_url: str, songs: Output[Dataset]):
    """Bring the table of songs from its source."""
    print(f"{fetch(dataset_url, songs.path):,} bytes extracted.")


@step("pyarrow")
def validate(songs: Input[Dataset], metrics: Output[Metrics]):
    """Stop bad data before it becomes a version."""
    summary = validate_songs(songs.path)
    metrics.log_metric("songs", summary["rows"])
    metrics.log_metric("unusual_values", summary["unusual"])
    print("\n".join([f"{summary['rows']:,} songs are valid.", *summary["remarks"]]))


@step("pyarrow")
def transform(songs: Input[Dataset], transformed: Output[Dataset]):
    """Bring the table into its canonical form: the same songs are the same bytes."""
    summary = transform_songs(songs.path, transformed.path)
    transformed.metadata["md5"] = summary["md5"]
    print(f"{summary['rows']:,} songs, md5 {summary['md5']}.")


@step("boto3")
def load(transformed: Input[Dataset]) -> str:
    """Put the table beside all earlier versions, under its md5, and say that."""
    md5 = load_to_cache(transformed.path)
    print(f"s3://data-cache/{cache_key(md5)} has the table.")
    return md5


@step("boto3", "dvc[s3]", "pyyaml", quiet=True)
def version_and_commit(repo_url: str, md5: str) -> str:
    """Version the loaded bytes with DVC and push their version file; s3://data has them after that.

    Without news there is no commit.
    """
    return commit_data_version(repo_url, md5)["revision"]
