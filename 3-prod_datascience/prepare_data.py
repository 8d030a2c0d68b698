"""Prepare: two small files instead of a million rows."""

from kfp.dsl import Dataset, Input, Output

from jukebox_helpers.pipelines.declare import step
from jukebox_helpers.steps.metadata import recorded
from jukebox_helpers.steps.preparation import prepare


@step("duckdb")
def prepare_data(songs: Input[Dataset], rankings: Input[Dataset], features: Output[Dataset], counts: Output[Dataset]):
    """Count each song's days in each country's charts, and keep a fifth of the songs for the evaluation."""
    import json

    summary = prepare(songs.path, rankings.path, features.path, counts.path)
    # From here on, the features carry the lineage: the later steps need no raw table.
    features.metadata.update(recorded(songs.metadata, rankings.metadata))
    features.metadata["songs rows"] = summary["songs"]
    features.metadata["rankings rows"] = summary["rows"]
    features.metadata["preparation"] = json.dumps(summary, sort_keys=True)
    print(summary)
