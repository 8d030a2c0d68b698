"""The registry in processes of their own, as steps open it."""

import os
import subprocess
import sys

from registry_server import RegistryServer
from waiting import DEADLINE

from jukebox_helpers.pipelines.carry import carried
from jukebox_helpers.steps.registry import open_registry

STEP = """
import sys
registry = open_registry(cluster_domain=sys.argv[1], namespace="user1-toolings")
uri = "s3://models/jukebox/0123456789/model.onnx"
print(registry.register("jukebox", "0123456789", uri, {"model sha256": "a" * 64})["version"])
"""


def test_two_steps_with_nothing_but_the_travelling_source_and_a_token_register_one_version(tmp_path):
    def a_step():
        open_registry("", "")

    server = RegistryServer()
    step = tmp_path / "step.py"
    step.write_text(carried(a_step) + STEP)
    token = {"KF_PIPELINES_SA_TOKEN_PATH": str(server.token_file)}
    steps = [
        subprocess.Popen(
            [sys.executable, "-I", str(step), server.url],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)} | token,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    answers = [(*process.communicate(timeout=DEADLINE), process.returncode) for process in steps]
    assert answers == [("0123456789\n", "", 0)] * 2
    assert len(server.open().versions("jukebox")) == 1
    server.close()
