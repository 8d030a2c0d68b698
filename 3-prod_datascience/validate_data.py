"""Validate: the tables are what the model may learn from."""

from kfp.dsl import Dataset, Input, Metrics, Output

from jukebox_helpers.pipelines.declare import step
from jukebox_helpers.steps.rankings import refuse_made_up
from jukebox_helpers.steps.tables import validate_rankings, validate_songs


@step("pyarrow")
def validate_data(songs: Input[Dataset], rankings: Input[Dataset], prod_flag: bool, metrics: Output[Metrics]):
    """Check both tables against their schemas, and that a model for production learns from real rankings."""
    refuse_made_up(rankings.metadata, prod_flag)
    for name, summary in {"songs": validate_songs(songs.path), "rankings": validate_rankings(rankings.path)}.items():
        metrics.log_metric(name, summary["rows"])
        print("\n".join([f"{summary['rows']:,} {name} are valid.", *summary["remarks"]]))
