"""The export to ONNX in processes that order their sets in other ways."""

import os
import subprocess
import sys

import pytest
from trained import digest, train_in

from jukebox_helpers.settings import KIT
from jukebox_helpers.steps.export import export_onnx


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train_in(tmp_path_factory.mktemp("trained"))


@pytest.mark.parametrize("seed", ["0", "116"])
def test_the_export_is_the_same_whatever_the_order_of_sets(trained, tmp_path, seed):
    exported, expected = str(tmp_path / "exported.onnx"), str(tmp_path / "expected.onnx")
    code = "import sys; from jukebox_helpers.steps.export import export_onnx; export_onnx(*sys.argv[1:], {'kit': 1})"
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(KIT)}
    subprocess.run([sys.executable, "-c", code, trained.model, exported], env=environment, check=True)
    export_onnx(trained.model, expected, {"kit": 1})
    assert digest(exported) == digest(expected)
