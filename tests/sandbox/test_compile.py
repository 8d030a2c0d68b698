"""Compiling a pipeline's file, with the library of its own checkout."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from jukebox_helpers import settings
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines import compile as compiling
from jukebox_helpers.pipelines import read
from jukebox_helpers.settings import KIT

SIZE_LIMITS = {settings.DATA_PIPELINE_YAML: 200_000, settings.TRAINING_PIPELINE_YAML: 262_144}
"""Bytes: of a file in git; and of the annotations of a Workflow, which hold a pipeline in a cluster."""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """The files that compiling needs, apart from the kit, so that compiling there leaves the kit alone."""
    root = tmp_path_factory.mktemp("checkout")
    for name in ("jukebox_helpers", "3-prod_datascience", "5-data-versioning", "requirements.txt"):
        subprocess.run(["cp", "-r", str(KIT / name), str(root / name)], check=True)
    return root


@pytest.fixture(scope="module")
def compiled(checkout):
    """Both pipelines, compiled."""
    found = {}
    for source, target in (
        (settings.DATA_PIPELINE, settings.DATA_PIPELINE_YAML),
        (settings.TRAINING_PIPELINE, settings.TRAINING_PIPELINE_YAML),
    ):
        (checkout / target).unlink(missing_ok=True)
        compiling.compile_file(checkout / source)
        found[target] = checkout / target
    return found


@pytest.fixture(scope="module")
def data_pipeline(compiled):
    return read.read_pipeline(compiled[settings.DATA_PIPELINE_YAML].read_text())


@pytest.fixture(scope="module")
def training_pipeline(compiled):
    return read.read_pipeline(compiled[settings.TRAINING_PIPELINE_YAML].read_text())


def test_compiling_twice_gives_the_same_bytes(compiled, checkout):
    for source, target in (
        (settings.DATA_PIPELINE, settings.DATA_PIPELINE_YAML),
        (settings.TRAINING_PIPELINE, settings.TRAINING_PIPELINE_YAML),
    ):
        before = compiled[target].read_bytes()
        compiling.compile_file(checkout / source)
        assert compiled[target].read_bytes() == before
        assert len(before) < SIZE_LIMITS[target]


def test_image_and_package_index_are_one_setting_each(checkout, monkeypatch):
    monkeypatch.setenv("JUKEBOX_BASE_IMAGE", "registry.example/python:3.12")
    monkeypatch.setenv("JUKEBOX_PACKAGE_INDEX", "https://packages.example/simple")
    target = checkout / settings.DATA_PIPELINE_YAML
    before = target.read_bytes()
    try:
        compiling.compile_file(checkout / settings.DATA_PIPELINE)
        for container in read.read_pipeline(target.read_text()).executors.values():
            assert container["image"] == "registry.example/python:3.12"
            assert "https://packages.example/simple" in container["command"][2]
    finally:
        target.write_bytes(before)


def test_a_git_server_named_at_compile_time_reaches_the_steps_with_the_password(checkout, monkeypatch):
    monkeypatch.setenv("JUKEBOX_GIT_SERVER", "https://Git.example.com/")
    target = checkout / settings.DATA_PIPELINE_YAML
    before = target.read_bytes()
    try:
        compiling.compile_file(checkout / settings.DATA_PIPELINE)
        executors = read.read_pipeline(target.read_text()).executors
    finally:
        target.write_bytes(before)
    named = {
        label: [variable["value"] for variable in container["env"] if variable["name"] == "JUKEBOX_GIT_SERVER"]
        for label, container in executors.items()
    }
    given = {label: values for label, values in named.items() if values}
    assert given == {f"exec-{step}": ["https://git.example.com"] for step in ("check-access", "version-and-commit")}
    monkeypatch.setenv("JUKEBOX_GIT_SERVER", "git.example.com")
    with pytest.raises(JukeboxError, match="JUKEBOX_GIT_SERVER is not an address"):
        compiling.compile_file(checkout / settings.DATA_PIPELINE)
    assert target.read_bytes() == before


def test_the_steps_sources_are_complete(data_pipeline, training_pipeline):
    """Each step's program compiles and defines every function of ours that it calls."""
    for pipeline in (data_pipeline, training_pipeline):
        for container in pipeline.executors.values():
            program = container["command"][-1]
            assert "jukebox_helpers" not in program.replace("'jukebox_helpers'", "")
            compile(program, "step", "exec")
            result = subprocess.run(
                [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821", "-q", "-"],
                input=program.replace("from kfp.dsl import *", "from kfp.dsl import Input, Output, Dataset, Metrics, "
                                      "Model, Artifact, HTML, ClassificationMetrics"),
                capture_output=True,
                text=True,
            )  # fmt: skip
            assert result.returncode == 0, result.stdout


def test_a_file_that_does_not_compile_says_why(tmp_path):
    folder = tmp_path / "5-data-versioning"
    folder.mkdir()
    file = folder / "broken.py"
    file.write_text("import kfp\nraise ValueError('this is why')\n")
    with pytest.raises(JukeboxError, match="this is why") as failed:
        compiling.compile_file(file)
    where = "5-data-versioning/broken.py does not compile: 5-data-versioning/broken.py, line 2: "
    assert failed.value.what.splitlines()[0] == f"{where}ValueError: this is why"
    assert str(tmp_path) not in failed.value.what


def test_a_syntax_error_in_a_step_is_named_in_the_first_line(tmp_path):
    folder = tmp_path / "3-prod_datascience"
    folder.mkdir()
    (folder / "step.py").write_text("import os\n\ndef (\n")
    (folder / "pipeline.py").write_text("import step\n")
    with pytest.raises(JukeboxError) as failed:
        compiling.compile_file(folder / "pipeline.py")
    assert failed.value.what.splitlines()[0] == (
        "3-prod_datascience/pipeline.py does not compile: "
        "3-prod_datascience/step.py, line 3: SyntaxError: invalid syntax"
    )


NAMES = """
import ast, json, pathlib, sys
sys.path.insert(0, sys.argv[1])
from jukebox_helpers.pipelines import definitions
found = {}
for file in sorted(pathlib.Path(sys.argv[1], "jukebox_helpers").rglob("*.py")):
    module = definitions.read_module(file.stem, file.read_text(encoding="utf-8"), str(file))
    for one in module.definitions.values():
        names = [name for name in definitions.names_used(one.source) if not name.startswith("__")]
        found[f"{file.name} {one.name}"] = [one.source, names]
print(json.dumps(found))
"""


def test_every_python_finds_the_same_to_carry():
    """Of all definitions of the library, with each Python from 3.11 on that is on this machine."""
    places = [Path(sys.base_prefix, "bin"), *Path(sys.base_prefix).parent.glob("3.1*/bin"), Path("/usr/bin")]
    pythons = {}
    for minor in range(11, 15):
        found = next((place / f"python3.{minor}" for place in places if (place / f"python3.{minor}").is_file()), None)
        if found:
            pythons[minor] = found
    answers = {}
    for minor, python in pythons.items():
        answer = subprocess.run([python, "-I", "-c", NAMES, str(KIT)], capture_output=True, text=True)
        assert answer.returncode == 0, answer.stderr
        answers[minor] = json.loads(answer.stdout)
    first = answers[sys.version_info.minor]
    assert len(first) > 300
    assert [minor for minor in answers if answers[minor] != first] == []
