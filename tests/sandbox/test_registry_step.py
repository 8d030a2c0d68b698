"""The registry in processes of their own, as steps open it."""

import os
import sqlite3
import subprocess
import sys

from waiting import DEADLINE

from jukebox_helpers.pipelines.carry import carried
from jukebox_helpers.steps.registry import open_registry

READER = """
import sys
from jukebox_helpers.steps.registry import open_registry
registry = open_registry("http://localhost:1", "user1-toolings")
print(registry.models(), registry.versions("jukebox"), registry.latest("jukebox"), registry.find("jukebox", "1"))
print([name for name in ("mlflow", "sqlalchemy") if name in sys.modules])
"""


def test_reading_loads_no_mlflow_and_makes_no_file(tmp_path):
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/registry.db"}
    answer = subprocess.run([sys.executable, "-c", READER], env=environment, capture_output=True, text=True)
    assert (answer.stdout, answer.stderr) == ("[] [] None None\n[]\n", "")
    assert list(tmp_path.iterdir()) == []


STEP = """
registry = open_registry(cluster_domain="http://localhost:1", namespace="user1-toolings")
uri = "s3://models/jukebox/0123456789/model.onnx"
print(registry.register("jukebox", "0123456789", uri, {"model sha256": "a" * 64})["version"])
"""


def test_two_steps_with_nothing_but_the_travelling_source_share_a_new_database(tmp_path):
    def a_step():
        open_registry("", "")

    step = tmp_path / "step.py"
    step.write_text(carried(a_step) + STEP)
    database = tmp_path / "registry.db"
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "MLFLOW_TRACKING_URI": f"sqlite:///{database}"}
    steps = [
        subprocess.Popen(
            [sys.executable, "-I", str(step)],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    answers = [(*process.communicate(timeout=DEADLINE), process.returncode) for process in steps]
    assert answers == [("0123456789\n", "", 0)] * 2
    with sqlite3.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM model_versions").fetchone() == (1,)
