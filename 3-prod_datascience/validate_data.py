"""Validate: the tables are what the model may learn from."""

from kfp.dsl import Dataset, Input, Metrics, Output

from jukebox_helpers.pipelines import step
from jukebox_helpers.song_data import validate_rankings, validate_songs


@step("pandas", "pandera", "pyarrow")
def validate_data(songs: Input[Dataset], rankings: Input[Dataset], metrics: Output[Metrics]):
    """Check both tables against their schemas; all violations are said at once."""
    metrics.log_metric("songs", validate_songs(songs.path)["rows"])
    metrics.log_metric("rankings", validate_rankings(rankings.path)["rows"])
