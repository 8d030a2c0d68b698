"""Score a candidate: one set of hyperparameters of a grid, by cross-validation."""

from kfp.dsl import Artifact, Dataset, Input, Metrics, Output

from jukebox_helpers.pipelines.declare import step
from jukebox_helpers.steps.cross_validation import cross_validate


@step("duckdb", "numpy", "pandas", "scikit-learn")
def score_candidate(
    features: Input[Dataset],
    counts: Input[Dataset],
    hyperparameters: dict,
    metrics: Output[Metrics],
    report: Output[Artifact],
):
    """Say how good these hyperparameters are on training songs that the model did not see."""
    import json

    scores = cross_validate(features.path, counts.path, hyperparameters)
    for name, value in {**hyperparameters, **scores}.items():
        metrics.log_metric(name, value)
    with open(report.path, "w") as file:
        json.dump({**hyperparameters, **scores}, file)
    print(f"{hyperparameters}: {scores}")
