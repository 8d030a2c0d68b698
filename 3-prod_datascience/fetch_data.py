"""Fetch: the two tables that a model is trained on."""

from kfp.dsl import Dataset, Output

from jukebox_helpers.pipelines.declare import step
from jukebox_helpers.steps.constants import RANKINGS_HASH, RANKINGS_SOURCE, WORKSHOP_SONGS
from jukebox_helpers.steps.data_versions import fetch_data_version
from jukebox_helpers.steps.files import file_digest
from jukebox_helpers.steps.git import repository_url
from jukebox_helpers.steps.rankings import fetch_rankings
from jukebox_helpers.steps.sample_data import make_songs
from jukebox_helpers.steps.sample_rankings import make_rankings


@step("numpy", "pandas", "pyarrow")
def fetch_data(songs: Output[Dataset], rankings: Output[Dataset]):
    """Fetch whatever songs there are at this moment: others each time, and nothing says later which they were."""
    import time

    make_songs(songs.path, WORKSHOP_SONGS, seed=int(time.time()))
    make_rankings(rankings.path, songs.path)
    digest = file_digest(rankings.path, "sha256")
    rankings.metadata.update({RANKINGS_HASH: digest, RANKINGS_SOURCE: "made up (sample)"})


@step("boto3", "numpy", "pyarrow", "pyyaml")
def fetch_data_from_dvc(
    cluster_domain: str,
    git_version: str,
    songs: Output[Dataset],
    rankings: Output[Dataset],
    rankings_object: str = "",
):
    """Fetch the songs that DVC keeps for one revision, and the rankings that it or `rankings_object` names."""
    import os

    url = repository_url(cluster_domain, os.environ["namespace"])
    facts = fetch_data_version(url, git_version, songs.path)
    source = rankings_object or facts.pop(RANKINGS_SOURCE)
    songs.metadata.update(facts)
    rankings.metadata.update(fetch_rankings(source, songs.path, rankings.path))
    print(f"Data version {songs.metadata['DVC training data hash']}, revision {git_version}.")
