"""Evaluate: what is deployed, on songs that the model has never heard, beside those who know nothing."""

from kfp.dsl import HTML, Artifact, ClassificationMetrics, Dataset, Input, Metrics, Model, Output

from jukebox_helpers.pipelines.declare import step
from jukebox_helpers.steps.evaluation import evaluate
from jukebox_helpers.steps.evaluation_picture import evaluation_picture
from jukebox_helpers.steps.export import check_onnx


@step("duckdb", "matplotlib", "numpy", "onnxruntime")
def evaluate_model(
    onnx_model: Input[Model],
    expected: Input[Dataset],
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
    """Compare the ONNX file with what was trained, then the model with the prior and the version in the registry.

    A difference of more than 1e-5 between the file and what was trained fails the run.
    """
    for name, value in check_onnx(expected.path, onnx_model.path).items():
        metrics.log_metric(f"onnx {name}", value)
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
