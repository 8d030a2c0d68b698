"""Compare: what is deployed says the same as what was trained."""

from kfp.dsl import Dataset, Input, Metrics, Model, Output

from jukebox_helpers.pipelines.declare import step
from jukebox_helpers.steps.export import check_onnx


@step("numpy", "onnxruntime", "pyarrow")
def compare_model(expected: Input[Dataset], onnx_model: Input[Model], metrics: Output[Metrics]):
    """Ask the ONNX model about every held-out song; a difference of more than 1e-5 fails the run."""
    for name, value in check_onnx(expected.path, onnx_model.path).items():
        metrics.log_metric(name, value)
