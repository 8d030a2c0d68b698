"""Compare: what is deployed says the same as what was trained."""

from kfp.dsl import Dataset, Input, Metrics, Model, Output

from jukebox_helpers.pipelines.declare import step
from jukebox_helpers.steps.export import check_onnx


@step("numpy", "onnxruntime", "pandas", "pyarrow", "scikit-learn")
def compare_model(model: Input[Model], onnx_model: Input[Model], features: Input[Dataset], metrics: Output[Metrics]):
    """Ask both models about every held-out song; a difference of more than 1e-5 fails the run."""
    for name, value in check_onnx(model.path, onnx_model.path, features.path).items():
        metrics.log_metric(name, value)
