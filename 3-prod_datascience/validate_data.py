"""Validate: the tables are what the model may learn from."""

from kfp.dsl import Dataset, Input, Metrics, Output

from jukebox_helpers.pipelines import step
from jukebox_helpers.rankings import refuse_made_up
from jukebox_helpers.song_data import validate_rankings, validate_songs


@step("pandas", "pandera", "pyarrow")
def validate_data(songs: Input[Dataset], rankings: Input[Dataset], prod_flag: bool, metrics: Output[Metrics]):
    """Check both tables against their schemas, and that a model for production learns from real rankings."""
    refuse_made_up(rankings.metadata, prod_flag)
    metrics.log_metric("songs", validate_songs(songs.path)["rows"])
    metrics.log_metric("rankings", validate_rankings(rankings.path)["rows"])
