"""Train: one scikit-learn Pipeline, with its preprocessing inside."""

from jukebox_helpers.training import train, versions
from kfp.dsl import Dataset, Input, Model, Output

from jukebox_helpers.pipelines import step


@step("numpy", "pandas", "pyarrow", "scikit-learn")
def train_model(features: Input[Dataset], counts: Input[Dataset], hyperparameters: dict, model: Output[Model]):
    """Learn from the songs of the training part which countries play them."""
    model.metadata["parameters"] = train(features.path, counts.path, hyperparameters, model.path)
    model.metadata["packages"] = versions()
    print(model.metadata)
