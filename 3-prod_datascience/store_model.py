"""Store: a copy of the ONNX file on a volume, for those who serve models from one."""

from kfp.dsl import Input, Model

from jukebox_helpers.pipelines.declare import step
from jukebox_helpers.steps.files import write_whole


@step()
def store_model(onnx_model: Input[Model], model_name: str, version: str):
    """Copy the ONNX file to the volume that is mounted at /models."""
    import os
    import shutil

    if not os.path.isdir("/models"):
        raise RuntimeError(
            "No volume is mounted at /models. "
            "Next: name a volume claim of this project in the parameter model_storage_pvc, or leave it empty."
        )
    write_whole(f"/models/{model_name}/{version}/model.onnx", lambda path: shutil.copyfile(onnx_model.path, path))
