"""Train: one scikit-learn Pipeline, with its preprocessing inside."""

from kfp.dsl import Artifact, Dataset, Input, Model, Output

from jukebox_helpers.pipelines.declare import step
from jukebox_helpers.steps.model import forward_scores, train, versions


@step("numpy", "pandas", "pyarrow", "scikit-learn")
def train_model(
    features: Input[Dataset],
    counts: Input[Dataset],
    hyperparameters: dict,
    model: Output[Model],
    forward: Output[Artifact],
):
    """Learn from the songs of the training part which countries play them; rehearse the future on the past."""
    import json

    trained = train(features.path, counts.path, hyperparameters, model.path)
    model.metadata["parameters"] = json.dumps(trained["hyperparameters"], sort_keys=True)
    packages = versions()
    model.metadata["python"] = packages.pop("python")
    model.metadata["packages"] = json.dumps(packages, sort_keys=True)
    scores = forward_scores(features.path, counts.path, hyperparameters, forward.path)
    print(trained, scores)
