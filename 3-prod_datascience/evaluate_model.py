"""Evaluate: on songs that the model has never heard, beside those who know nothing."""

from kfp.dsl import HTML, Artifact, ClassificationMetrics, Dataset, Input, Metrics, Model, Output

from jukebox_helpers.pipelines.declare import step
from jukebox_helpers.steps.evaluation import evaluate
from jukebox_helpers.steps.evaluation_picture import evaluation_picture
from jukebox_helpers.steps.registration import fetch_previous_model


@step("boto3", "matplotlib", "model-registry", "numpy", "onnxruntime", "pandas", "pyarrow")
def evaluate_model(
    onnx_model: Input[Model],
    features: Input[Dataset],
    counts: Input[Dataset],
    forward: Input[Artifact],
    model_name: str,
    version: str,
    cluster_domain: str,
    prod_flag: bool,
    tolerances: dict,
    report: Output[Artifact],
    metrics: Output[Metrics],
    confusion: Output[ClassificationMetrics],
    picture: Output[HTML],
):
    """Compare the model with the prior, with a table of songs, and with the version in the registry."""
    import os

    previous_path = report.path + ".previous.onnx"
    previous = fetch_previous_model(
        model_name, version, cluster_domain, os.environ["namespace"], prod_flag, previous_path
    )
    evaluation = evaluate(
        onnx_model.path,
        features.path,
        counts.path,
        previous_path if previous else None,
        tolerances,
        report.path,
        forward.path,
    )
    confusion.log_confusion_matrix(evaluation["confusion"]["countries"], evaluation["confusion"]["matrix"])
    for name, value in evaluation["metrics"].items():
        metrics.log_metric(name, value)
    evaluation_picture(report.path, picture.path)
    print(f"Measured against {previous['version'] if previous else 'no earlier version'}. Gate: {evaluation['gate']}")
