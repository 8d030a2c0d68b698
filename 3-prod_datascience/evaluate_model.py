"""Evaluate: on songs that the model has never heard, beside those who know nothing."""

from kfp.dsl import HTML, Artifact, ClassificationMetrics, Dataset, Input, Metrics, Model, Output

from jukebox_helpers.pipelines.declare import step
from jukebox_helpers.steps.evaluation import evaluate
from jukebox_helpers.steps.evaluation_picture import evaluation_picture


@step("matplotlib", "numpy", "onnxruntime", "pandas", "pyarrow")
def evaluate_model(
    onnx_model: Input[Model],
    previous_model: Input[Model],
    features: Input[Dataset],
    counts: Input[Dataset],
    forward: Input[Artifact],
    tolerances: dict,
    report: Output[Artifact],
    metrics: Output[Metrics],
    confusion: Output[ClassificationMetrics],
    picture: Output[HTML],
):
    """Compare the model with the prior, with a table of songs, and with the version in the registry."""
    previous = previous_model.metadata.get("version", "")
    evaluation = evaluate(
        onnx_model.path,
        features.path,
        counts.path,
        previous_model.path if previous else None,
        tolerances,
        report.path,
        forward.path,
    )
    confusion.log_confusion_matrix(evaluation["confusion"]["countries"], evaluation["confusion"]["matrix"])
    for name, value in evaluation["metrics"].items():
        metrics.log_metric(name, value)
    evaluation_picture(report.path, picture.path)
    print(f"Measured against {previous or 'no earlier version'}. Gate: {evaluation['gate']}")
